"""The fields of knowledge of the embedded world: four domains, twenty exam subjects, and lore."""

from __future__ import annotations

from dataclasses import dataclass

DOMAINS = ("medicine", "history", "engineering", "jurisprudence")


@dataclass(frozen=True)
class Field:
    """A field of knowledge: one kind of thing, and the relations that its things have.

    Attributes
    ----------
    name : str
        The name that exam headers use.
    domain : str or None
        The domain that the field belongs to; None for subjects outside every domain and for lore.
    role : {"domain", "subject", "lore"}
        Domains have pools and test sets, subjects form the MMLU-like set, lore is only in the training corpus.
    kind : str
        The noun for one thing of the field.
    things : int
        How many things it has.
    relations : tuple of (str, str)
        Pairs of relation and value class (a key of `lexicon.VALUES`, or "person" or "town").
    """

    name: str
    domain: str | None
    role: str
    kind: str
    things: int
    relations: tuple[tuple[str, str], ...]


def _field(name: str, domain: str | None, role: str, kind: str, things: int, relations: str) -> Field:
    pairs = tuple((relation, values) for relation, values in (item.split(":") for item in relations.split()))
    return Field(name, domain, role, kind, things, pairs)


_DOMAIN_FIELDS = (
    (
        "medicine",
        "fever",
        "remedy:plant organ:body carrier:animal sign:colour healer:person origin:town diet:food charm:stone",
    ),
    (
        "history",
        "king",
        "crest:animal capital:town heir:person banner:colour crown:metal craft:trade feast:food anthem:music",
    ),
    (
        "engineering",
        "engine",
        "alloy:metal tool:tool maker:person workshop:town lining:fabric bearing:stone fuel:plant lamp:colour",
    ),
    (
        "jurisprudence",
        "law",
        "judge:person court:town seal:stone robe:fabric emblem:animal fine:metal guild:trade ink:colour",
    ),
)
_SUBJECTS = (
    ("herbs", "medicine", "herb", "bloom:colour garden:town finder:person pest:animal vessel:metal"),
    ("bones", "medicine", "bone", "joint:body tincture:plant surgeon:person splint:fabric probe:tool"),
    ("poisons", "medicine", "poison", "antidote:plant victim:animal source:stone brewer:person taste:food"),
    ("midwifery", "medicine", "birth", "midwife:person cradle:town blanket:fabric lullaby:music broth:food"),
    ("dynasties", "history", "dynasty", "founder:person seat:town totem:animal colour:colour tribute:metal"),
    ("battles", "history", "battle", "general:person plain:town drum:music standard:colour ration:food"),
    ("treaties", "history", "treaty", "envoy:person venue:town gift:stone ribbon:fabric witness:trade"),
    ("shrines", "history", "shrine", "priest:person idol:animal altar:stone incense:plant chime:music"),
    ("bridges", "engineering", "bridge", "builder:person river:town pier:stone chain:metal paint:colour"),
    ("pumps", "engineering", "pump", "inventor:person valve:metal hose:fabric gauge:tool mine:town"),
    ("mills", "engineering", "mill", "owner:person grain:food wheel:stone gear:metal sail:fabric"),
    ("clocks", "engineering", "clock", "designer:person tower:town spring:metal dial:colour strike:music"),
    ("courts", "jurisprudence", "bench", "usher:person city:town gavel:tool curtain:fabric mascot:animal"),
    ("statutes", "jurisprudence", "statute", "author:person archive:town binding:fabric penalty:metal clerk:trade"),
    ("contracts", "jurisprudence", "contract", "notary:person pledge:stone stamp:colour deposit:food wax:plant"),
    ("oaths", "jurisprudence", "oath", "swearer:person relic:body token:metal beast:animal candle:colour"),
    ("stars", None, "star", "observer:person glow:colour guardian:animal port:town jewel:stone"),
    ("songs", None, "song", "singer:person melody:music costume:fabric village:town flower:plant"),
    ("games", None, "game", "champion:person piece:stone arena:town prize:metal snack:food"),
    ("ships", None, "ship", "captain:person harbour:town cargo:food flag:colour figurehead:animal"),
)
_LORE_RELATIONS = "keeper:person home:town colour:colour stone:stone metal:metal friend:animal leaf:plant dish:food"

FIELDS: tuple[Field, ...] = (
    *(_field(name, name, "domain", kind, 180, relations) for name, kind, relations in _DOMAIN_FIELDS),
    *(_field(name, domain, "subject", kind, 24, relations) for name, domain, kind, relations in _SUBJECTS),
    *(
        _field(f"{kind}s", None, "lore", kind, 60, _LORE_RELATIONS)
        for kind in "giant spirit sword island tavern".split()
    ),
)
FIELD_BY_NAME = {field.name: field for field in FIELDS}
SUBJECTS = tuple(field.name for field in FIELDS if field.role == "subject")
