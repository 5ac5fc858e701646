"""The class that Papermill knows as the engine `chatter-warm`; `runner` does the work.

Import it as `warm.WarmEngine`, or after Papermill: imported first, it would import Papermill, which
would look for it here.
"""

from __future__ import annotations

from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from papermill.engines import NBClientEngine
from papermill.log import logger
from papermill.utils import merge_kwargs, remove_args

from chatter_nb.batch.warm import runner
from chatter_nb.batch.warm.client import WarmClient

# What only a kernel of one's own can honour; and traits that may change any of it.
_FOREIGN = ("km", "kernel_manager_class", "config", "parent", "ipython_hist_file")
# For a finished cell's output to arrive, which with Papermill is an error; nbclient's 4 s are over
# on a machine that runs as many batches as it can, and then a run that was spoken has failed.
_OUTPUT_TIMEOUT_S = 60


class WarmEngine(NBClientEngine):
    """Papermill's default engine, but for the kernel; takes the same arguments."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = 60,
        execution_timeout: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the cells. Raises what the default engine raises, but for dead kernels and
        timeouts: those are errors in the cell."""
        spec = _python_spec(kernel_name, kwargs)
        if spec is None or runner.is_nested():
            return super().execute_managed_notebook(
                nb_man,
                kernel_name,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
                start_timeout=start_timeout,
                execution_timeout=execution_timeout,
                **kwargs,
            )
        client = WarmClient(  # as NBClientEngine makes it
            nb_man,
            **merge_kwargs(
                {"iopub_timeout": _OUTPUT_TIMEOUT_S}
                | remove_args(["input_path", "timeout", "startup_timeout"], **kwargs),
                timeout=execution_timeout if execution_timeout else kwargs.get("timeout"),
                startup_timeout=start_timeout,
                kernel_name=kernel_name,
                log=logger,
                log_output=log_output,
                stdout_file=stdout_file,
                stderr_file=stderr_file,
            ),
        )
        return runner.execute(client, spec)


def _python_spec(kernel_name: str, kwargs: dict[str, Any]) -> KernelSpec | None:
    """The kernel's description if it can be kept warm; None for what is left to Papermill."""
    if any(name in kwargs for name in _FOREIGN):
        return None
    try:
        spec = KernelSpecManager().get_kernel_spec(kernel_name)
    except NoSuchKernel:
        return None  # Papermill's own engine says so
    provisioner = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name", "")
    is_ipython = any("ipykernel" in argument for argument in spec.argv)
    local = provisioner in ("", "local-provisioner")
    return spec if spec.language.lower() == "python" and is_ipython and local else None
