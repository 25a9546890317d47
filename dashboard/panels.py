"""The shapes that the page's own components draw: a strip of figures, and a grid of rows.

All text is made in Python and painted as text, never as HTML (`components/*.js` use `textContent` only).
"""

from dataclasses import asdict, dataclass
from typing import Literal

# Meaning, not colour: the components map it to the theme's colours.
Tone = Literal["", "up", "down", "good", "warn", "bad", "muted", "accent"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One named figure of a strip.

    Attributes:
        label: its name, with the unit where the value has none.
        value: the formatted figure.
        tone: its meaning.
        title: shown when pointed at.
    """

    label: str
    value: str
    tone: Tone = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """A line of figures, led by a heading.

    Attributes:
        heading: name of what the figures belong to.
        lead: the main figure beside the heading, larger.
        lead_tone: its meaning.
        pill: short state, drawn as a badge; empty for none.
        pill_tone: its meaning.
        note: a sentence below, when there is something to say.
        note_tone: its meaning.
        figures: the figures.
        stale: whether all of it is old.
    """

    heading: str
    lead: str = ""
    lead_tone: Tone = ""
    pill: str = ""
    pill_tone: Tone = ""
    note: str = ""
    note_tone: Tone = ""
    figures: tuple[Figure, ...] = ()
    stale: bool = False

    def data(self) -> dict[str, object]:
        """Return it as the component takes it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a grid.

    Attributes:
        label: head; the unit stands here.
        kind: how its cells are drawn.
        align: where text stands.
        title: explains the column, shown when pointed at.
        minor: left out where the screen is narrow.
    """

    label: str
    kind: Literal["text", "number", "price", "pill", "spark"] = "number"
    align: Literal["left", "right"] = "right"
    title: str = ""
    minor: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: what is written.
        order: what sorting goes by, when not the text.
        tone: its meaning.
        title: shown when pointed at.
        points: a sparkline's values, oldest first, scaled to 0..1.
    """

    text: str = ""
    order: float | None = None
    tone: Tone = ""
    title: str = ""
    points: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        row_id: stable over updates.
        cells: one per column.
        stale: drawn as old.
        selected: drawn as chosen.
    """

    row_id: str
    cells: tuple[Cell, ...]
    stale: bool = False
    selected: bool = False


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table.

    Attributes:
        caption: its name, for the eye and for screen readers.
        note: beside the caption.
        columns: the columns.
        rows: the rows, in their usual order; the reader may sort them otherwise.
        empty: what is said when there are none.
        is_choice: rows can be chosen.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""
    empty: str = ""
    is_choice: bool = False

    def data(self) -> dict[str, object]:
        """Return it as the component takes it."""
        return asdict(self)
