"""What data may be used for, and where the law says so."""

from enum import StrEnum


class Purpose(StrEnum):
    """What data are used for: those of Article 53(1) of Regulation (EU) 2025/327, and two of a site's own."""

    PUBLIC_HEALTH = "public-health"
    POLICY = "policy"
    STATISTICS = "statistics"
    EDUCATION = "education"
    RESEARCH = "research"
    INNOVATION = "innovation"
    ALGORITHMS = "algorithms"
    CARE_IMPROVEMENT = "care-improvement"
    CARE = "care"
    OPERATION = "operation"


ARTICLES: dict[Purpose, str] = {
    Purpose.PUBLIC_HEALTH: "EHDS 53(1)(a)",
    Purpose.POLICY: "EHDS 53(1)(b)",
    Purpose.STATISTICS: "EHDS 53(1)(c)",
    Purpose.EDUCATION: "EHDS 53(1)(d)",
    Purpose.RESEARCH: "EHDS 53(1)(e)",
    Purpose.INNOVATION: "EHDS 53(1)(e)(i)",
    Purpose.ALGORITHMS: "EHDS 53(1)(e)(ii)",
    Purpose.CARE_IMPROVEMENT: "EHDS 53(1)(f)",
}
"""Where the law has the purpose; care and operation are no secondary use."""
