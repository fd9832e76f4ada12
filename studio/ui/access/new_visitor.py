"""A new visitor: their session, and what it opens with."""

import gradio as gr

from studio.engine.engine import Engine
from studio.engine.recipe import Recipe
from studio.errors import StudioError
from studio.networks import Task
from studio.ui.access.middleware import COOKIE
from studio.ui.access.visitors import Visitors
from studio.ui.session import Session, first_recipe


def open_session(engine: Engine, visitors: Visitors | None, request: gr.Request | None) -> Session:
    """A session with the recipe of the link, or else seed 0 of the first model; without a recipe when no model can be explored.

    visitors: keeps the strangers' files; None = everybody shares the home folder, and then also sees which models are broken.
    """
    session = Session()
    if visitors is not None:
        session.workspace = visitors.workspace(
            visitors.browser_of(dict(request.cookies).get(COOKIE) if request is not None else None), session.id
        )
    link = dict(request.query_params).get("recipe") if request is not None else None
    if link:
        try:
            recipe = Recipe.from_link(link)
            engine.library.get(recipe.model)
            session.recipe = recipe
        except StudioError as e:
            gr.Warning(str(e))
    found, broken = engine.library.scan()
    for b in () if visitors is not None else broken:
        gr.Warning(b.reason)
    usable = [m for m in found if m.task is Task.GENERATE]
    if session.recipe is None and usable:
        session.recipe = first_recipe(usable[0].id)
    return session
