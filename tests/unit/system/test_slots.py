"""Places for machines that all processes share."""

from bpfcompat.system import slots


def test_who_does_not_wait_is_told_that_all_places_are_taken(tmp_path):
    with (
        slots.slot(tmp_path, 2) as first,
        slots.slot(tmp_path, 2, wait=False) as second,
        slots.slot(tmp_path, 2, wait=False) as third,
    ):
        assert (first, second, third) == (True, True, False)
    with slots.slot(tmp_path, 2, wait=False) as again:
        assert again
