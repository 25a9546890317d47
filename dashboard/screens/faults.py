"""The page that stands in for all others while the settings are wrong."""

from collections.abc import Sequence

import streamlit as st


def draw_faults(faults: Sequence[str]) -> None:
    """Show every fault of the settings and what to do.

    Args:
        faults: one sentence each, as `config.load` gives them.
    """
    st.subheader("The settings have faults")
    st.caption(
        "The dashboard starts when they are mended. Change the environment, `.env` or `config.yaml`, restart."
    )
    for fault in faults:
        # As plain text: a setting's value may hold anything.
        st.text(fault, width="stretch")
