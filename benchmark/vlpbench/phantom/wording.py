"""The words of the reports: several sentences for each finding, impression, summary and negation.

Braces are filled by `vlpbench.phantom.reports`: {grade} an adjective for the severity, {side} the patient's side,
{zone} the lung zone, {object} the name of an object, {a} the article for what follows.
"""

GRADES: dict[tuple[str, str], tuple[str, ...]] = {
    ("pleural_effusion", "small"): ("small", "trace", "minimal"),
    ("pleural_effusion", "moderate"): ("moderate", "moderate-sized"),
    ("pleural_effusion", "large"): ("large", "extensive"),
    ("pneumothorax", "small"): ("small", "slight"),
    ("pneumothorax", "moderate"): ("moderate", "moderate-sized"),
    ("pneumothorax", "large"): ("large", "extensive"),
    ("edema", "mild"): ("mild", "slight", "early"),
    ("edema", "moderate"): ("moderate",),
    ("edema", "severe"): ("severe", "marked"),
    ("cardiomegaly", "mild"): ("mild", "slight"),
    ("cardiomegaly", "moderate"): ("moderate",),
    ("cardiomegaly", "severe"): ("severe", "marked"),
    ("covid", "mild"): ("mild", "subtle"),
    ("covid", "moderate"): ("moderate",),
    ("covid", "severe"): ("severe", "extensive"),
    ("consolidation", "moderate"): ("patchy", "hazy", "ill-defined"),
    ("consolidation", "severe"): ("dense", "confluent", "extensive"),
    ("atelectasis", "mild"): ("mild", "minor", "minimal"),
    ("atelectasis", "moderate"): ("moderate", "considerable"),
}

ZONES: dict[str, tuple[str, ...]] = {
    "upper": ("upper lobe", "upper lung zone", "upper lung"),
    "mid": ("mid lung", "mid lung zone", "perihilar region"),
    "lower": ("lower lobe", "lung base", "lower lung zone"),
}

OBJECTS: dict[str, tuple[str, ...]] = {
    "button": ("button", "round button"),
    "coin": ("coin", "round metallic disc"),
    "chain": ("chain", "necklace segment"),
    "pin": ("safety pin", "metallic pin"),
    "clasp": ("metallic clasp", "garment hook"),
    "pacemaker": ("pacemaker-like device", "implanted pulse generator"),
}

FINDINGS: dict[str, tuple[str, ...]] = {
    "pleural_effusion": (
        "There is {a} {grade} {side} pleural effusion.",
        "A {grade} pleural effusion is present on the {side}.",
        "{Grade} {side} pleural fluid blunts the costophrenic angle.",
        "Opacity at the {side} base with a meniscus represents {a} {grade} pleural effusion.",
        "{Grade} layering pleural fluid is seen on the {side} side.",
    ),
    "pleural_effusion/bilateral": (
        "There are {grade} bilateral pleural effusions.",
        "{Grade} pleural effusions are present on both sides.",
        "Both costophrenic angles are blunted by {grade} pleural fluid.",
        "{Grade} bilateral pleural effusions with a meniscus on each side.",
    ),
    "edema": (
        "There is {grade} bilateral pulmonary edema with perihilar haze.",
        "Indistinct vessels and perihilar opacities in both lungs indicate {grade} edema.",
        "{Grade} interstitial edema is present in both lungs.",
        "Bilateral vascular congestion with {grade} pulmonary edema.",
        "Bat-wing haze around both hila is consistent with {grade} edema.",
    ),
    "atelectasis": (
        "{Grade} {side} {zone} atelectasis is present.",
        "Linear opacities in the {side} {zone} represent {grade} atelectasis.",
        "There is {grade} plate-like atelectasis in the {side} {zone}.",
        "Band-like density in the {side} {zone} with a raised hemidiaphragm suggests {grade} atelectasis.",
    ),
    "atelectasis/bilateral": (
        "{Grade} bilateral {zone} atelectasis is present.",
        "Linear {zone} opacities on both sides represent {grade} atelectasis.",
        "There is {grade} plate-like {zone} atelectasis in both lungs.",
    ),
    "cardiomegaly": (
        "There is {grade} cardiomegaly.",
        "The cardiac silhouette shows {grade} enlargement.",
        "{Grade} enlargement of the heart is noted.",
        "The heart is enlarged, with {grade} cardiomegaly.",
    ),
    "consolidation": (
        "There is {a} {grade} consolidation in the {side} {zone}.",
        "{Grade} airspace opacity is seen in the {side} {zone}.",
        "{A} {grade} opacity with air bronchograms occupies the {side} {zone}.",
        "The {side} {zone} contains {a} {grade} consolidation.",
        "Focal {grade} consolidation involves the {side} {zone}.",
    ),
    "pneumothorax": (
        "There is {a} {grade} {side} pneumothorax.",
        "A {grade} pneumothorax is seen at the {side} apex.",
        "A visible pleural line on the {side} marks {a} {grade} pneumothorax.",
        "{Grade} {side} apical pneumothorax without lung markings beyond the pleural line.",
    ),
    "covid": (
        "{Grade} bilateral peripheral ground-glass opacities are present, mostly in the lower zones.",
        "Patchy ground-glass opacities of {grade} extent lie at the periphery of both lungs.",
        "There are {grade} multifocal ground-glass opacities in the periphery of both lower lungs.",
        "Both lungs show {grade} peripheral patchy ground-glass change.",
    ),
    "chest_tube": (
        "A {side} chest tube is in place.",
        "A {side}-sided thoracostomy tube is seen.",
        "A chest tube projects over the {side} hemithorax.",
    ),
    "foreign_object/single": (
        "{A} {object} projects over the {side} chest.",
        "A foreign object, likely {a} {object}, overlies the {side} hemithorax.",
        "A single radiopaque foreign object on the {side} resembles {a} {object}.",
    ),
    "foreign_object/multiple": (
        "Several radiopaque foreign objects project over both sides of the chest.",
        "Multiple metallic foreign objects overlie both hemithoraces.",
        "Multiple foreign objects are scattered over both lungs.",
    ),
}

IMPRESSIONS: dict[str, tuple[str, ...]] = {
    "pleural_effusion": ("{Grade} {side} pleural effusion.", "{Side} pleural effusion, {grade}."),
    "pleural_effusion/bilateral": ("{Grade} bilateral pleural effusions.", "Bilateral effusions, {grade}."),
    "edema": ("{Grade} pulmonary edema.", "Congestion with {grade} edema."),
    "atelectasis": ("{Grade} {side} atelectasis.", "{Side} {zone} atelectasis."),
    "atelectasis/bilateral": ("{Grade} bilateral atelectasis.", "Atelectasis on both sides."),
    "cardiomegaly": ("{Grade} cardiomegaly.", "Enlarged heart, {grade}."),
    "consolidation": (
        "{Side} {zone} pneumonia.",
        "{Grade} {side} {zone} consolidation, likely pneumonia.",
        "Findings suggest pneumonia in the {side} {zone}.",
    ),
    "pneumothorax": ("{Grade} {side} pneumothorax.", "{Side} pneumothorax, {grade}."),
    "covid": ("Findings typical of {grade} COVID-19 pneumonia in both lungs.", "Bilateral viral pneumonia, {grade}."),
    "chest_tube": ("{Side} chest tube in place.",),
    "foreign_object/single": ("Foreign object over the {side} chest.", "{Side} foreign object."),
    "foreign_object/multiple": ("Multiple radiopaque foreign objects.", "Several foreign objects over both lungs."),
}

SUMMARIES: dict[str, tuple[str, ...]] = {
    "pleural_effusion": ("{grade} effusion {side}", "{side} effusion ({grade})"),
    "pleural_effusion/bilateral": ("{grade} effusions on both sides", "bilateral effusions ({grade})"),
    "edema": ("{grade} edema in both lungs", "bilateral edema ({grade})"),
    "atelectasis": ("{grade} {side} {zone} atelectasis", "atelectasis of the {side} {zone} ({grade})"),
    "atelectasis/bilateral": ("{grade} bilateral {zone} atelectasis", "atelectasis of both lungs ({grade})"),
    "cardiomegaly": ("{grade} heart enlargement", "enlarged heart ({grade})"),
    "consolidation": ("{grade} {side} {zone} pneumonia", "consolidation of the {side} {zone} ({grade})"),
    "pneumothorax": ("{grade} pneumothorax, {side} side", "{side} pneumothorax ({grade})"),
    "covid": ("{grade} COVID-19 pattern in both lungs", "bilateral peripheral ground-glass ({grade})"),
    "chest_tube": ("{side} chest tube",),
    "foreign_object/single": ("{side} foreign object: {object}", "{object} as a foreign object on the {side}"),
    "foreign_object/multiple": ("multiple foreign objects on both sides", "foreign objects across the whole chest"),
}

NEGATIONS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("pneumothorax",): ("There is no pneumothorax.", "No pneumothorax is seen.", "Negative for pneumothorax."),
    ("pleural_effusion",): (
        "No pleural effusion is seen.",
        "There is no pleural effusion.",
        "The costophrenic angles are sharp.",
    ),
    ("pleural_effusion", "pneumothorax"): (
        "No pleural effusion or pneumothorax is identified.",
        "There is no pneumothorax or pleural effusion.",
    ),
    ("consolidation", "covid"): (
        "No focal consolidation is seen.",
        "There is no focal consolidation to suggest pneumonia.",
        "The lungs show no airspace disease.",
    ),
    ("consolidation", "covid", "edema", "atelectasis"): (
        "The lungs are clear.",
        "Both lungs are clear and well expanded.",
        "The lungs are well aerated without opacity.",
    ),
    ("edema",): (
        "No pulmonary edema.",
        "There is no evidence of edema.",
        "The pulmonary vasculature is normal.",
    ),
    ("cardiomegaly",): (
        "The heart size is normal.",
        "The cardiac silhouette is within normal limits.",
        "There is no cardiomegaly.",
        "The heart is not enlarged.",
    ),
    ("atelectasis",): ("There is no atelectasis.",),
    ("foreign_object",): ("No foreign object is seen.", "No radiopaque foreign object."),
    (): (
        "The mediastinal contours are unremarkable.",
        "The bony thorax is intact.",
        "The osseous structures are unremarkable.",
        "The trachea is midline.",
    ),
}

NARROW_NEGATIONS: dict[str, tuple[str, ...]] = {
    "No focal consolidation is seen.": ("consolidation",),
    "There is no focal consolidation to suggest pneumonia.": ("consolidation",),
}
"""Sentences that deny fewer kinds than `NEGATIONS` keeps them away from: ground glass is no focal consolidation."""

NORMAL_IMPRESSIONS: tuple[str, ...] = (
    "No acute cardiopulmonary process.",
    "Normal chest radiograph.",
    "No acute disease in the chest.",
    "No evidence of acute abnormality.",
)

NORMAL_SUMMARIES: tuple[str, ...] = (
    "Normal chest.",
    "Unremarkable study without acute findings.",
    "Clear lungs and a normal heart.",
    "Nothing acute.",
)
