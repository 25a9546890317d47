"""Who uses the pages."""

import streamlit as st

from dashboard.commands import ANYBODY


def author() -> str:
    """Return the name of whoever is signed in, or the one that stands for anybody."""
    user = st.user.to_dict()
    # Without sign-in Streamlit may hold an address made up for trials.
    name = (user.get("email") or user.get("name")) if user.get("is_logged_in") else None
    return str(name or ANYBODY)
