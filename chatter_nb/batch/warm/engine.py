"""The class of the engine `chatter-warm`, for Papermill; `runner` does its work.

Import the class as `warm.WarmEngine`, or after Papermill. Otherwise this module imports Papermill,
which looks here for a class that is not defined yet.
"""

from __future__ import annotations

from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from papermill.engines import NBClientEngine
from papermill.log import logger
from papermill.utils import merge_kwargs, remove_args

from . import runner
from .client import WarmClient

# Arguments that need a kernel of their own, and traits that may set such an argument.
_FOREIGN = ("km", "kernel_manager_class", "config", "parent", "ipython_hist_file")
# The time in which the output of a finished cell must arrive, else Papermill raises an error. On a
# busy machine nbclient's 4 s are too short, and a finished run would fail.
_OUTPUT_TIMEOUT_S = 60
# Arguments that have another name in nbclient, or that nbclient does not take.
_NOT_PASSED_ON = ("input_path", "timeout", "startup_timeout", "start_timeout", "execution_timeout")


class WarmEngine(NBClientEngine):
    """Papermill's default engine with a warm kernel; takes the same arguments."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Run the cells; returns the notebook. Raises what the default engine raises, except for
        a dead kernel and a timeout: those become an error in the cell."""
        spec = _python_spec(kernel_name, kwargs)
        if spec is None or runner.is_nested():
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)
        options = merge_kwargs(  # like NBClientEngine
            {"iopub_timeout": _OUTPUT_TIMEOUT_S} | remove_args(_NOT_PASSED_ON, **kwargs),
            timeout=kwargs.get("execution_timeout") or kwargs.get("timeout"),
            startup_timeout=kwargs.get("start_timeout", 60),
            kernel_name=kernel_name,
            log=logger,
        )
        return runner.execute(WarmClient(nb_man, **options), spec)


def _python_spec(kernel_name: str, kwargs: dict[str, Any]) -> KernelSpec | None:
    """The kernel's specification; None if Papermill's own engine has to run the notebook."""
    if any(name in kwargs for name in _FOREIGN):
        return None
    try:
        spec = KernelSpecManager().get_kernel_spec(kernel_name)
    except NoSuchKernel:
        return None  # Papermill's own engine raises the error
    provisioner = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name", "")
    is_ipython = any("ipykernel" in argument for argument in spec.argv)
    local = provisioner in ("", "local-provisioner")
    return spec if spec.language.lower() == "python" and is_ipython and local else None
