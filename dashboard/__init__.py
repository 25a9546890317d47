"""The Streamlit dashboard: what the topics say, on pages that update in place.

`state` folds events into bounded memory, `feed` does so in one thread per process, `views`, `alerts` and
`chart` turn a snapshot into what is shown, `screens` put that on pages and hold no logic, `desk` takes what
people ask to the alerter. The pages are in no folder named `pages`: Streamlit would run its files as pages of
its own until `st.navigation` is called for the first time.
"""
