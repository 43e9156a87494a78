"""What the report of a study says in plain data: of each entity at each position, and which entities it mentions.

Nothing here is drawn from a generator and nothing is stored with a study, so that texts and pixels stay as they are.
A change here raises the version of the source `vlpbench.sources.phantom`.
"""

from vlpbench.phantom.populations import LOCATIONS
from vlpbench.phantom.reports import denied_kinds
from vlpbench.phantom.study import Study

Statement = tuple[str, str, bool]
"""Entity, position, and whether it is present there."""

DESCRIPTIONS: dict[str, str] = {
    "pleural_effusion": "Pleural effusion is fluid between the lung and the chest wall, which gathers at the base and "
    "blunts the costophrenic angle.",
    "edema": "Pulmonary edema is excess fluid in the tissue and the air spaces of the lungs, seen as haze around both "
    "hila with indistinct vessels.",
    "atelectasis": "Atelectasis is the collapse of a part of the lung that has lost its air, seen as a band of density "
    "with loss of volume.",
    "cardiomegaly": "Cardiomegaly is enlargement of the heart, seen as a cardiac silhouette wider than half the chest.",
    "consolidation": "Consolidation is the filling of air spaces of the lung with fluid, pus or cells, seen as an "
    "opacity with air bronchograms.",
    "pneumothorax": "Pneumothorax is air between the lung and the chest wall, seen as a pleural line, often at the "
    "apex, without lung markings beyond it.",
    "foreign_object": "A foreign object is a thing that does not belong to the body, such as a button, a coin or an "
    "implanted device, often radiopaque with sharp edges.",
    "covid": "COVID-19 pneumonia is a viral infection of the lungs, typically seen as patchy ground-glass opacities at "
    "the periphery of both lungs.",
    "chest_tube": "A chest tube is a drain that passes through the chest wall into the pleural space to let out air or "
    "fluid.",
}
"""A sentence on each entity, by its name: the kinds of finding, and the tube as a device."""

_CHEST = "chest"
_PLACES = {
    "base": "costophrenic angle",
    "apex": "lung apex",
    "perihilar": "perihilar region",
    "peripheral": "lung periphery",
    "upper": "upper lung zone",
    "mid": "mid lung zone",
    "lower": "lower lung zone",
    "heart": "heart",
}
_UNPAIRED = "heart"
_SIDES = {"left": ("left",), "right": ("right",), "bilateral": ("left", "right")}


def statements(study: Study) -> tuple[Statement, ...]:
    """What the report says of each entity at each position.

    Every finding is stated, on its side and in its zone. A kind whose absence is stated is absent at every position
    where it can occur, as "No pneumothorax." means either side. The healthy side of a one-sided finding is not
    mentioned.
    """
    present = [(found.kind, place, True) for found in study.findings for place in _at(found.location, found.side)]
    denied = denied_kinds(study.report_findings)
    absent = [(kind, place, False) for kind in denied for place in possible_positions(kind)]
    return tuple(dict.fromkeys([*present, *absent]))


def mentions(study: Study) -> tuple[str, ...]:
    """Entities that the report affirms, in the order of the findings.

    Denials do not count: they say what the image does not show, and the commonest ("No pneumothorax.") stand in most
    reports, so that images would be thought alike for what they lack.
    """
    return tuple(dict.fromkeys(finding.kind for finding in study.findings))


def possible_positions(kind: str) -> tuple[str, ...]:
    """Every position at which a kind can be stated."""
    places = [place for location in LOCATIONS.get(kind, (_CHEST,)) for place in _at(location, "bilateral")]
    return tuple(dict.fromkeys(places))


def _at(location: str, side: str) -> tuple[str, ...]:
    """Positions of a location; tubes, and objects of whatever sort, lie over the chest."""
    place = _PLACES.get(location, _CHEST)
    return (place,) if place == _UNPAIRED else tuple(f"{one} {place}" for one in _SIDES[side])
