"""MMLU's 57 subjects, their 17 sub-categories and 4 categories, as Hendrycks et al. (2021) sort them."""

from __future__ import annotations

CATEGORIES = {
    "stem": ("physics", "chemistry", "biology", "computer_science", "math", "engineering"),
    "humanities": ("history", "philosophy", "law"),
    "social_sciences": ("politics", "culture", "economics", "geography", "psychology"),
    "other": ("other", "business", "health"),
}
SUBCATEGORIES = {
    "physics": "astronomy college_physics conceptual_physics high_school_physics",
    "chemistry": "college_chemistry high_school_chemistry",
    "biology": "college_biology high_school_biology",
    "computer_science": "college_computer_science computer_security high_school_computer_science machine_learning",
    "math": "abstract_algebra college_mathematics elementary_mathematics high_school_mathematics high_school_statistics",
    "engineering": "electrical_engineering",
    "history": "high_school_european_history high_school_us_history high_school_world_history prehistory",
    "philosophy": "formal_logic logical_fallacies moral_disputes moral_scenarios philosophy world_religions",
    "law": "international_law jurisprudence professional_law",
    "politics": "high_school_government_and_politics public_relations security_studies us_foreign_policy",
    "culture": "human_sexuality sociology",
    "economics": "econometrics high_school_macroeconomics high_school_microeconomics",
    "geography": "high_school_geography",
    "psychology": "high_school_psychology professional_psychology",
    "other": "global_facts miscellaneous professional_accounting",
    "business": "business_ethics management marketing",
    "health": "anatomy clinical_knowledge college_medicine human_aging medical_genetics nutrition professional_medicine"
    " virology",
}
# The paper's choice of sub-categories for each domain.
ID_SUBCATEGORIES = {
    "medicine": ("health",),
    "history": ("history",),
    "engineering": ("engineering",),
    "jurisprudence": ("politics", "culture", "economics", "geography", "psychology", "law"),
}
SUBCATEGORY_OF = {subject: name for name, subjects in SUBCATEGORIES.items() for subject in subjects.split()}
SUBJECTS = tuple(sorted(SUBCATEGORY_OF))


def display_name(subject: str) -> str:
    """A subject's name as the header of the prompt has it.

    Examples
    --------
    >>> display_name("high_school_us_history")
    'high school us history'
    """
    return subject.replace("_", " ")
