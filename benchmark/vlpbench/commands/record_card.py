"""What is known of one record, in titled sections of short lines, for `vlpbench show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlpbench.cards import MethodCard
from vlpbench.commands.protocol_page import word
from vlpbench.record import Record
from vlpbench.store import RecordStore
from vlpbench.table.titles import Titles, arch_title

Line = tuple[str, str]
GIBIBYTE = 1 << 30
SUITE_PUT = "the suite, over the protocol"


@dataclass(frozen=True)
class Section:
    """A heading with its lines, each a label and a text."""

    title: str
    lines: list[Line] = field(default_factory=list)


def percent(value: float | None) -> str:
    """A metric as printed; a dash where it is undefined."""
    return "–" if value is None else f"{100 * value:.2f} %"


def heading(record: Record, titles: Titles) -> str:
    """What the record is of, in a line."""
    spec = record.spec
    data = record.provenance.get("data", {}).get("title", spec.dataset)
    method = titles.method_card(spec.method).row_title
    share = f"{100 * spec.fraction:g} % of the labels, seed {spec.seed}" if spec.fraction else "no labels"
    return f"{method}: {data} {spec.task}, {share}"


def what_was_evaluated(record: Record, titles: Titles) -> Section:
    """Names, sizes and the split."""
    spec, told = record.spec, record.provenance
    card, task, data = titles.method_card(spec.method), titles.task(spec.task), told.get("data", {})
    counted = data.get("splits", {})
    sizes = ", ".join(f"{counted[name]} {name}" for name in ("train", "val", "test") if name in counted)
    protocol = told.get("protocol", {})
    lines = [
        ("key", record.key),
        ("method", _method(card, told)),
        ("backbone", f"{arch_title(spec.arch)} at {spec.image_size} px, pre-training seed {spec.pretrain_seed}"),
        ("suite", f"{spec.suite}: {(told.get('suite') or {}).get('title', '')}".rstrip(": ")),
        ("task", f"{spec.task}, version {record.foundations.task_version}" + (f": {task.summary}" if task else "")),
        ("dataset", f"{spec.dataset} ({data.get('title', spec.dataset)}){f': {sizes} images' if sizes else ''}"),
        ("labels", ", ".join(map(str, data.get("labels", [])))),
        ("fraction", _fraction(record)),
        ("limit", "" if spec.limit is None else f"at most {spec.limit} images per split"),
        ("protocol", f"{spec.protocol}, version {protocol.get('version', '?')}: {protocol.get('title', '')}"),
        *_split(data.get("split")),
    ]
    return Section("What was evaluated", [line for line in lines if line[1]])


def metrics(record: Record, titles: Titles) -> Section:
    """Every metric with what trivial predictors get on the same images, and what it means."""
    lines = []
    named = [record.headline, *sorted(set(record.metrics) - {record.headline})]
    for name in named:
        floors = ", ".join(f"{floor} {percent(values.get(name))}" for floor, values in record.floors.items())
        meaning = metric_meaning(record, name, titles)
        text = percent(record.metrics[name]) + (f"  ({floors})" if floors else "")
        lines.append((f"{name} *" if name == record.headline else name, f"{text}\n{meaning}" if meaning else text))
    return Section("Metrics (* the headline; in brackets, trivial predictors on the same images)", lines)


def metric_meaning(record: Record, name: str, titles: Titles) -> str:
    """What a metric means in the words of the task's card, where one per label or finding is `auroc_<label>`."""
    task = record.spec.task
    if meaning := titles.metric_meaning(task, name):
        return meaning
    card = titles.task(task)
    patterns = [known for known in (card.metrics if card else {}) if known.endswith(">")]
    pattern = next((known for known in patterns if name.startswith(known.partition("<")[0])), "")
    return titles.metric_meaning(task, pattern) if pattern else ""


def training(record: Record, *, full: bool) -> Section:
    """Counts, the rule of selection, and the settings of the head; with their sources where `full`."""
    counts = {name.replace("_", " "): count for name, count in record.counts.items()}
    chosen = ", ".join(f"{name} {_short(value)}" for name, value in record.selection.items() if name != "rule")
    lines = [
        ("counts", ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))),
        ("selection", f"{record.selection.get('rule', '')}{f' ({chosen})' if chosen else ''}"),
    ]
    settings, sources = record.provenance.get("settings", {}), record.provenance.get("settings_sources", {})
    lines = [line for line in lines if line[1]]
    if full:
        lines += [
            (name, f"{_setting(value)}\n{sources.get(name, 'no source recorded')}")
            for name, value in sorted(settings.items())
        ]
    elif settings:
        put = [
            f"{name} = {_setting(value)}{' *' if sources.get(name) == SUITE_PUT else ''}"
            for name, value in sorted(settings.items())
        ]
        star = f"* {SUITE_PUT}; " if any(text.endswith(" *") for text in put) else ""
        lines.append(("settings", f"{'; '.join(put)}\n({star}--full names every source)"))
    return Section("How the head was trained and chosen", lines)


def backbone(record: Record, *, full: bool) -> Section:
    """How the weights came to be: recipe, corpus, and losses by epoch."""
    lineage = record.provenance.get("backbone", {}).get("lineage", {})
    lines = [("sha256", record.foundations.weights_sha256), ("recipe hash", record.recipe)]
    if "weights" in lineage:
        lines.append(("weights", str(lineage["weights"])))
    recipe = dict(lineage.get("recipe") or {})
    options = recipe.pop("options", {})
    lines += [
        ("recipe", "; ".join(f"{name} = {_setting(value)}" for name, value in sorted(recipe.items()))),
        ("switches", "; ".join(f"{name} = {_setting(value)}" for name, value in sorted(options.items()))),
        ("corpus", ", ".join(f"{name} {value}" for name, value in (lineage.get("corpus") or {}).items())),
    ]
    if "epochs" in lineage:
        made = f"{lineage['epochs']} in {lineage.get('seconds', 0) / 60:.1f} minutes on {lineage.get('device', '?')}"
        told = f"{made}, in {lineage.get('precision', 'float32')}; weights of epoch {lineage.get('best_epoch', '?')}"
        lines.append(("epochs", told))
    lines += _losses(lineage.get("history") or [], full=full)
    lines.append(("torch", str(lineage.get("torch", ""))))
    return Section("Where the weights come from", [line for line in lines if line[1]])


def origin(record: Record) -> Section:
    """Code, software, machine, time and memory."""
    told = record.provenance
    git, memory = told.get("git") or {}, told.get("peak_memory_bytes")
    commit = f"{git['commit']}{', with uncommitted changes' if git.get('dirty') else ''}" if git else "not recorded"
    machine = [told[name] for name in ("device", "platform") if told.get(name)]
    if told.get("cpus"):
        machine.insert(1, f"{told['cpus']} CPUs")
    packages = {"python": told.get("python"), **told.get("packages", {})}
    lines = [
        ("vlpbench", f"{told.get('vlpbench', 'not recorded')}, git commit {commit}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in packages.items() if version)),
        ("machine", ", ".join(map(str, machine))),
        ("precision", str(told.get("precision", ""))),
        ("started", f"{record.started_at}, took {told.get('wall_seconds', 0):.0f} s"),
        ("memory", f"{memory / GIBIBYTE:.1f} GiB at most" if memory else ""),
        ("rescored", _rescored(told.get("rescored") or {})),
    ]
    return Section("Code, machine and effort", [line for line in lines if line[1]])


def files(record: Record, store: RecordStore, problem: str) -> Section:
    """Where the record and its predictions are, and whether these are those it names."""
    lines = [("record", f"{store.record_path(record)} (its checksum holds)")]
    if record.predictions:
        lines.append(("predictions", problem or f"{store.predictions_path(record)} (the sha256 the record names)"))
    else:
        lines.append(("predictions", "none were kept"))
    return Section("Files", lines)


def _fraction(record: Record) -> str:
    if not record.spec.fraction:
        return "no labels are used, and no head is trained"
    return f"{100 * record.spec.fraction:g} % of the training labels, evaluation seed {record.spec.seed}"


def _rescored(how: Mapping[str, Any]) -> str:
    """Where metrics come from that were computed from the predictions of another record; "" for none."""
    if not how:
        return ""
    made = f"{how.get('from_key', '?')}, attempt {how.get('from_attempt', '?')}"
    added = f"; added: {', '.join(how['added'])}" if how.get("added") else ""
    return f"{how.get('at', '')}, from the predictions of {made}, by vlpbench {how.get('vlpbench', '?')}{added}"


def _method(card: MethodCard, told: Mapping[str, Any]) -> str:
    version = told.get("backbone", {}).get("lineage", {}).get("method_version")
    now = f"; this vlpbench has version {card.version}" if version not in (None, card.version) and card.title else ""
    venue = "" if card.venue in ("", "-") else f", {card.venue}"
    return f"{card.row_title} ({card.name}{f', version {version}' if version is not None else ''}{now}){venue}"


def _split(split: Mapping[str, Any] | None) -> Iterator[Line]:
    if not split:
        yield "split", "not recorded by the version that wrote this"
        return
    yield "split", str(split.get("name", "?"))
    for fault in split.get("known", []):
        yield "", f"known: {fault}"
    for parts, count in split.get("shared", {}).items():
        yield "", f"{count} patient(s) in both {parts}"


def _losses(history: Sequence[Mapping[str, Any]], *, full: bool) -> Iterator[Line]:
    """Losses by epoch: their sums in a line each, or every term."""
    if not full:
        for part, title in (("train", "train"), ("validation", "val")):
            losses = [entry.get(part, {}).get("loss") for entry in history]
            yield f"{title} loss", " ".join(_short(loss) for loss in losses)
        return
    for entry in history:
        parts = [
            f"{title}: " + ", ".join(f"{name} {_short(value)}" for name, value in entry.get(part, {}).items())
            for part, title in (("train", "training"), ("validation", "validation"))
        ]
        yield f"epoch {entry.get('epoch', '?')}", "\n".join(parts)


def _setting(value: object) -> str:
    """A value of a setting, as pages of protocols print it."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_setting(item)}" for name, item in value.items())
    return word(_tuples(value)) if value != "" else '""'


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
