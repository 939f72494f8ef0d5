"""Which of an archive's kernels a name means."""

from bpfcompat.kernels.sources import apt


def test_the_newest_of_a_series_is_the_highest_number():
    names = [
        "linux-image-6.18.9+deb13-cloud-amd64",
        "linux-image-6.18.15+deb13-cloud-amd64",
        "linux-image-6.18.12+deb13-cloud-amd64",
    ]
    assert max(names, key=apt._by_version) == names[1]
