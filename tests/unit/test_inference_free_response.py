"""Free response: how many lesions are found at how many false marks."""

import pytest

from inference.evaluation import Detections, average_precision, sensitivity_at


def test_sensitivity_is_told_where_there_are_so_many_false_marks_an_image() -> None:
    """Chakraborty 1989: one false mark in four images is 0.25 an image; what scores no higher is not found."""
    images = [
        Detections(lesions=(0.9,), false=(0.5,)),
        Detections(lesions=(0.4,), false=()),
        Detections(lesions=(0.0,), false=(0.3,)),
        Detections(lesions=(), false=()),
    ]
    assert sensitivity_at(images, 0.25)[0] == pytest.approx(2 / 3)
    assert sensitivity_at(images, 0.0)[0] == pytest.approx(1 / 3)


def test_marks_of_several_kinds_in_an_image_are_joined() -> None:
    pair = Detections((0.9,), ()), Detections((0.1,), (0.2,))
    assert Detections.joined(pair) == Detections((0.9, 0.1), (0.2,))


@pytest.mark.parametrize(
    ("lesions", "false", "expected"),
    [
        ((0.9, 0.8), (), 1.0),
        ((0.9, 0.7), (0.8,), (1 + 2 / 3) / 2),
        (
            (0.6, 0.5),
            (0.9, 0.8),
            0.5,
        ),  # precision at the first lesion is 1/3, and the better one of the second counts
        ((0.9, 0.0), (0.1,), 0.5),  # a missed lesion adds nothing
        ((0.0,), (), 0.0),
    ],
)
def test_average_precision_is_the_area_under_precision_over_recall(
    lesions: tuple[float, ...], false: tuple[float, ...], expected: float
) -> None:
    """Everingham et al., Int. J. Comput. Vis. 111 (2015) 98."""
    assert average_precision([Detections(lesions, false)]) == pytest.approx(expected)


def test_without_lesions_there_is_no_precision() -> None:
    assert average_precision([Detections((), (0.9,))]) != average_precision([Detections((), (0.9,))])
