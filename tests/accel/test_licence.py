import pytest

from fleetsight.accel.licence import LicenceError, licences_of, refuse_restricted, restriction


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("AGPL-3.0", "AGPL"),
        ("AGPL-3.0 License (https://ultralytics.com/license)", "AGPL"),
        ("GNU Affero General Public License", "AGPL"),
        ("GPL-3.0-or-later", "GPL"),
        ("gplv2", "GPL"),
        ("GNU General Public License v3", "GPL"),
        ("CC-BY-NC-4.0", "non-commercial"),
        ("cc by nc sa 4.0", "non-commercial"),
        ("Non-Commercial use", "non-commercial"),
        ("noncommercial", "non-commercial"),
        ("research use only", "non-commercial"),
        ("PML-1.0", "field-of-use"),
        ("OpenRAIL-M", "field-of-use"),
        ("DINOv3 License", "field-of-use"),
    ],
)
def test_restricted_licences_are_known(text: str, why: str) -> None:
    assert restriction(text) == why


@pytest.mark.parametrize(
    "text",
    [
        "Apache-2.0",
        "MIT",
        "BSD-3-Clause",
        "LGPL-2.1",
        "GNU Lesser General Public License v3",
        "CC-BY-4.0",
        "CC0-1.0",
        "ISC",
        "unstated",
        "our own",
    ],
)
def test_other_licences_pass(text: str) -> None:
    assert restriction(text) is None


def test_licences_are_found_at_any_depth() -> None:
    lineage = {"parents": [{"name": "x", "weights_license": "MIT"}], "code_licence": ["ISC", "BSD"], "note": "GPL"}
    assert list(licences_of("lineage", lineage)) == [
        ("lineage.parents.weights_license", "MIT"),
        ("lineage.code_licence", "ISC"),
        ("lineage.code_licence", "BSD"),
    ]


def test_every_restricted_licence_is_told() -> None:
    with pytest.raises(LicenceError) as caught:
        refuse_restricted({"licence": "AGPL-3.0", "lineage": {"data_licence": "CC-BY-NC-4.0"}}, model="m")
    assert "AGPL" in caught.value.message
    assert "lineage.data_licence" in caught.value.message
