"""Studies of a question's criteria, and whether a question holds for one: plainly, one criterion after the other."""

from collections.abc import Mapping

from hypothesis import strategies as st

from gateway.search.question import All, Condition, Either, Not, Question

Study = Mapping[str, object]

STUDIES = st.fixed_dictionaries(
    {
        "modality": st.sets(st.sampled_from(["MG", "DBT", "US", "MR", "CT"]), min_size=1),
        "manufacturer": st.sets(st.sampled_from(["SIEMENS", "GE", "HOLOGIC", "ACME"])),
        "body_part": st.sets(st.sampled_from(["BREAST", "HEAD"])),
        "sex": st.sampled_from(["F", "M", "O", "unknown"]).map(lambda each: {each}),
        "diagnosis": st.sampled_from(["breast-cancer", "no-cancer", "unknown"]).map(lambda each: {each}),
        "density": st.sampled_from(["a", "b", "c", "d", "unknown"]).map(lambda each: {each}),
        "assessment": st.sampled_from(["0", "1", "4", "unknown"]).map(lambda each: {each}),
        "laterality": st.sampled_from(["L", "R", "B", "unknown"]).map(lambda each: {each}),
        "age": st.none() | st.integers(0, 110),
        "year": st.none() | st.integers(1990, 2026),
    }
)


def holds(question: Question, study: Study) -> bool:
    match question:
        case All(children):
            return all(holds(child, study) for child in children)
        case Either(children):
            return any(holds(child, study) for child in children)
        case Not(child):
            return not holds(child, study)
        case Condition(criterion, values, low, high):
            found = study.get(criterion)
            if values is not None:
                return isinstance(found, set) and bool(found & set(values))
            if not isinstance(found, int):
                return False
            return (low is None or low <= found) and (high is None or found <= high)
