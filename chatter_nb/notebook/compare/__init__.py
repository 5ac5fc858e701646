"""Compares finished runs: players and numbers in rows, plots, and a blind test."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "blindform": ["blind_test"],
        "compared": ["CompareParams"],
        "comparison": ["load_comparison"],
        "players": ["compare_players", "compare_table"],
        "plots": ["compare_levels", "compare_spectra"],
    },
)
