"""The Streamlit dashboard: what the topics say, on one page that updates in place.

`state` folds events into bounded memory, `feed` does so in one thread per process, `views` and `chart` turn a
snapshot into what is shown, `pages` put that on the screen and hold no logic.
"""
