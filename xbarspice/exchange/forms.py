"""Which form a file has, by what is stated or by its suffix."""

from __future__ import annotations

from pathlib import Path

from xbarspice.core.errors import broken_rule

__all__ = ["FORMS", "form_of"]

FORMS = {
    "matlab": (".mat",),
    "crosssim": (".json",),
    "aihwkit": (".pt", ".pth"),
    "spice": (".sp", ".spice", ".cir", ".net", ".ckt", ".cdl", ".spi", ".scs", ".sim"),
}
"""Form -> suffixes that it goes by."""


def form_of(path: Path, form: str | None = None) -> str:
    """The form of a file.

    Args:
        path: the file.
        form: what was stated; None to go by the suffix.

    Raises:
        InputError: there is no such form, or the suffix belongs to none.
    """
    if form is None:
        form = next((name for name, ends in FORMS.items() if path.suffix.lower() in ends), None)
    if form not in FORMS:
        known = [f"{name} ({', '.join(ends)})" for name, ends in FORMS.items()]
        raise broken_rule(
            f"the form must be one of {'; '.join(known)}",
            repr(form) if form else f"the suffix {path.suffix!r}",
            "Name it with --form.",
        )
    return form
