"""Connections between tabs: buttons that send results from one to another, and what happens when a tab is opened."""

from collections.abc import Callable

from gradio.events import Dependency

from studio.ui.components.handlers import QUIET, friendly
from studio.ui.components.tab import Page, Tab
from studio.ui.tabs import TABS


def connect(page: Page) -> None:
    """Give each tab its buttons to the tabs it sends results to, where both are there (see TABS)."""
    for id, tab in page.built.items():
        tab.add_targets(page.targets(TABS[id].sends_as, TABS[id].sends))


def entrances(page: Page) -> dict[str, Callable[[Callable[..., Dependency]], Dependency]]:
    """Id of a tab -> a function that wires what happens on opening the tab to the event that opens it: `gr.Tab.select`, or `then`
    of another event. It returns the last event of the chain."""

    def entrance(tab: Tab) -> Callable[[Callable[..., Dependency]], Dependency]:
        def enter(on: Callable[..., Dependency]) -> Dependency:
            entered = on(friendly(tab.enter), [page.session, *tab.enter_inputs], tab.enter_outputs, js=tab.enter_js, **QUIET)
            return tab.after_enter(entered)

        return enter

    return {id: entrance(tab) for id, tab in page.built.items() if tab.enter_outputs}
