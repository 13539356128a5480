"""How a comparison shows, draws and writes itself: by functions of rooms above this one, which the package hands over.

Comparisons have methods for it, as data frames do, so that those who hold one need not know of reports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

View = Literal[
    "pair_html",
    "pair_frame",
    "pair_plot",
    "pair_report",
    "many_html",
    "many_plot",
    "sides_html",
    "sides_frame",
    "sides_plot",
]

_FOUND: dict[View, Callable[[], Callable[..., Any]]] = {}


def provide(view: View, find: Callable[[], Callable[..., Any]]) -> None:
    """Hand over how the function of a view is found; it is looked up when the view is first asked for.

    Parameters
    ----------
    view : View
    find : callable
        Returns the function, which takes the comparison first.
    """
    _FOUND[view] = find


def function_of(view: View) -> Callable[..., Any]:
    """The function of a view."""
    return _FOUND[view]()


class Drawn:
    """What draws its changes of accuracy."""

    _plot: ClassVar[View]

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the largest changes of accuracy with their intervals, or of many runs the change of each.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            New ones of pyplot by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        drawn: Axes = function_of(self._plot)(self, axes)
        return drawn
