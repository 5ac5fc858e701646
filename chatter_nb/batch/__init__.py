"""Many notebook runs: planned, performed by executors, recorded, none swallowed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["warm"],
    submod_attrs={
        "params": ["BatchParams"],
        "run": ["BatchPlan", "BatchReport", "plan_batch", "run_batch"],
    },
)
