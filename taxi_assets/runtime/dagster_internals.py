"""Re-export every private name of Dagster that this project uses.

An upgrade of Dagster is checked here first. Each comment names the public way that is missing.
"""

# Type of what the public `define_asset_job` returns; `dagster` exports only the function.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJobDefinition

# Raised when a code server does not answer, and when the process of a Pipes client fails; `dagster` exports neither.
from dagster._core.errors import (
    DagsterExecutionInterruptedError,
    DagsterPipesExecutionError,
    DagsterUserCodeUnreachableError,
)

# `DagsterInstance.report_run_failed` takes a reason, which run retries read; `dagster` exports neither type.
from dagster._core.events import EngineEventData, JobFailureData, RunFailureReason

# How the in-process executor executes steps; Dagster has no public part that takes two at once.
from dagster._core.execution.api import ExecuteRunWithPlanIterable

# The status of a backfill, and which statuses have ended; `dagster` exports neither.
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster._core.execution.compute_logs import create_compute_log_file_key

# What an executor is given; `dagster` exports the base class `Executor`, but not the types of its arguments.
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.execute_plan import _trigger_hook as trigger_hook
from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.objects import StepRetryData
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode

# The base class of a run launcher; no public one can be extended.
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

# The stored cursor and switch of a sensor; the public API gives a sensor only its own.
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, SensorInstigatorData

# The code server, whose way to start runs has no setting.
from dagster._grpc.server import DagsterApiServer

# Messages between a code server, its runs and the workers; Dagster has no public format for them.
from dagster._grpc.types import ExecuteStepArgs, GetCurrentRunsResult
from dagster._serdes import deserialize_value, serialize_value, unpack_value
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster._utils.interrupts import pop_captured_interrupt
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "BULK_ACTION_TERMINAL_STATUSES",
    "ActiveExecution",
    "AssetJobDefinition",
    "BulkActionStatus",
    "CheckRunHealthResult",
    "DagsterApiServer",
    "DagsterExecutionInterruptedError",
    "DagsterPipesExecutionError",
    "DagsterUserCodeUnreachableError",
    "DefaultRunLauncher",
    "EngineEventData",
    "ExecuteRunWithPlanIterable",
    "ExecuteStepArgs",
    "ExecutionPlan",
    "ExecutionStep",
    "GetCurrentRunsResult",
    "InstanceConcurrencyContext",
    "InstigatorStatus",
    "InstigatorType",
    "JobFailureData",
    "KnownExecutionState",
    "PlanExecutionContext",
    "PlanExecutionContextManager",
    "PlanOrchestrationContext",
    "RetryMode",
    "RunFailureReason",
    "SensorInstigatorData",
    "SerializableErrorInfo",
    "StepRetryData",
    "WorkerStatus",
    "create_compute_log_file_key",
    "dagster_event_sequence_for_step",
    "deserialize_value",
    "pop_captured_interrupt",
    "serializable_error_info_from_exc_info",
    "serialize_value",
    "trigger_hook",
    "unpack_value",
]
