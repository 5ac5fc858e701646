"""Runs beside each other: players and numbers in rows, plots, and a blind test."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blindform": ["blind_test"],
        "comparison": ["load_comparison"],
        "pages": ["compare_players", "compare_table"],
        "params": ["CompareParams"],
        "plots": ["compare_levels", "compare_spectra", "compare_waveforms"],
    },
)
