"""A run from its claim to its release: the only place where that order is put together.

claim, start, the events of the handle, publish, release. A run in one process and one on local
processes go through all of it by `Lifecycle.run`; the steps of the flow call one part each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from gomr_runtime.codec.wire_types import ManyOrTable
from gomr_runtime.errors import RunConflict
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.summary import Summary
from gomr_runtime.publishing.publish import publish
from gomr_runtime.runs.claims import Claim, RunInProgress, claim
from gomr_runtime.runs.handle import NotStarted, RunHandle, tell
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.progress import Reporter
from gomr_runtime.storage.base import Store
from gomr_runtime.system.host_lock import HostLock, claim_output


class Hold(Protocol):
    """What keeps others from a run id."""

    def release(self, *, remove: bool, output: bool) -> None:
        """Let go of the run id.

        Args:
            remove: the run is done, and its data is not to be kept.
            output: the output was brought away, so that its copy in the store is such data.
        """


class Runtime(Protocol):
    """Where a run goes on, as far as runtimes differ."""

    def open_store(self) -> Store:
        """Open the store of the run, and make sure that it will do."""

    def claim(self, prepared: Prepared, store: Callable[[], Store]) -> Hold:
        """Claim the run id, so that no other process runs it at the same time.

        Args:
            prepared: The checked job.
            store: Opens the run's store.

        Raises:
            RunInProgress: Another process of this machine has the run.
            RunConflict: The id belongs to another run.
        """

    def claims_output(self, prepared: Prepared) -> bool:
        """Whether the output directory is held from the start, and not only when it is filled."""

    def start(self, store: Store, prepared: Prepared) -> RunHandle:
        """Start the job or, with `--resume`, go on with it.

        If this fails, everything that was started ends again.
        """


class Lifecycle:
    """One run on its way. Its methods are called in their order; `release` is, in any case.

    prepared: the run as it is known by now. handle: from its start on. published: `_SUCCESS`, once
    the output stands. owner_elsewhere: another process looks after the run, brings its output and
    removes its data.
    """

    def __init__(self, prepared: Prepared, runtime: Runtime, progress: Reporter) -> None:
        """progress: hears what the person should know."""
        self.prepared = prepared
        self.handle: RunHandle = NotStarted()
        self.published: Path | None = None
        self._runtime = runtime
        self._progress = progress
        self._hold: Hold = Unclaimed()
        self._output: HostLock | None = None
        self._claimed = False
        self.owner_elsewhere = False

    @cached_property
    def store(self) -> Store:
        """The run's store, opened when it is first wanted."""
        return self._runtime.open_store()

    @property
    def started(self) -> bool:
        """Whether the handle is that of a run."""
        return not isinstance(self.handle, NotStarted)

    @property
    def done(self) -> bool:
        """Whether the run succeeded and its output is where it was wanted."""
        summary = self.handle.summary
        if self.prepared.options.collect and not self.owner_elsewhere:
            return self.published is not None
        return summary is not None and summary.state == "succeeded"

    @property
    def is_kept(self) -> bool:
        """Whether the run is not done and what there is of it is ours."""
        return self._claimed and not self.done

    def run(self) -> Summary:
        """Go through all of it in this process.

        Raises:
            GomrError: what ended the run; its data is kept then.
        """
        try:
            self.claim()
            handle = self.start()
            try:
                for event in handle.events():
                    tell(event, self._progress)
                summary = handle.result()
            except (KeyboardInterrupt, SystemExit):
                handle.interrupt()
                raise
            finally:
                handle.close()
            self.publish()
        finally:
            self.release()
        return summary

    def claim(self) -> None:
        """Make the run id and the output ours, or follow the run where another process has it.

        Raises:
            RunConflict: the id or the output directory is taken.
        """
        options = self.prepared.options
        try:
            self._hold = self._runtime.claim(self.prepared, lambda: self.store)
        except RunInProgress as live:
            if not options.resume or options.rerun or live.folder is None:
                raise
            self._follow(live.folder)
            return
        self._claimed = True
        if options.collect and self._runtime.claims_output(self.prepared):
            self._output = claim_output(self.prepared.output)

    def use_files(self, files: ManyOrTable[InputFile]) -> None:
        """Take these inputs in the place of those of the job, which have the same content."""
        self.prepared = replace(self.prepared, job=replace(self.prepared.job, files=files))

    def start(self) -> RunHandle:
        """Start the run, unless it goes on already; its handle."""
        if not self.started:
            self.handle = self._runtime.start(self.store, self.prepared)
        return self.handle

    def publish(self) -> None:
        """Bring the output of the run that succeeded to its directory, where it is wanted there
        and nobody else brings it."""
        options = self.prepared.options
        if options.collect and not self.owner_elsewhere:
            self.published = publish(
                self.store,
                self.handle.result(),
                self.prepared.output,
                options.overwrite,
                claim=self._output,
            )

    def release(self) -> None:
        """End what is left of the run here and let go of it. Its intermediate data goes once it is
        done, and stays after a failure. Safe to repeat."""
        self.handle.close()
        hold, self._hold = self._hold, Unclaimed()
        options = self.prepared.options
        try:
            hold.release(remove=self.done and not options.keep, output=options.collect)
        finally:
            if self._output is not None:
                self._output.release()

    def _follow(self, folder: Path) -> None:
        """Watch the run that another process looks after."""
        from gomr_runtime.runs.attached import AttachedRun  # gRPC

        run, prepared = self.prepared.job.run, self.prepared
        self.owner_elsewhere = True
        self.handle = AttachedRun(run, folder, prepared.store, prepared.output)
        self._progress.log("info", f"run {run} is in progress: following it")


class Unclaimed:
    """Nothing is held: nobody else can want the run id, or it was not asked for."""

    def release(self, *, remove: bool, output: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class FolderHold:
    """A run id that is locked in a folder of this machine; all data of the run goes together."""

    locked: Claim

    def release(self, *, remove: bool, output: bool) -> None:
        self.locked.release(remove=remove and output)


@dataclass(frozen=True, slots=True)
class ObjectsHold:
    """A run id in a store without locks: its first object keeps others from it.

    output_stays: the parts stay in the store, wherever else they are.
    """

    store: Store
    run: str
    output_stays: bool = False

    def release(self, *, remove: bool, output: bool) -> None:
        if remove:
            self.store.delete(layout.run_prefix(self.run))
            if output and not self.output_stays:
                self.store.delete(layout.output_prefix(self.run))


def claim_folder(prepared: Prepared) -> FolderHold:
    """The run id in a store that is a directory; RunConflict or RunInProgress when it is taken."""
    run, resume = prepared.job.run, bool(prepared.options.resume)
    return FolderHold(claim(Path(prepared.store), run, resume=resume))


def claim_objects(store: Store, prepared: Prepared, *, output_stays: bool = False) -> ObjectsHold:
    """Claim a run id in a store that has no locks.

    Args:
        store: The store of the run.
        prepared: The checked job.
        output_stays: Releasing the claim leaves the output in the store.

    Raises:
        RunConflict: The store has a run of that id, and it is not to be resumed.
    """
    run = prepared.job.run
    if not prepared.options.resume and next(iter(store.list(layout.run_prefix(run))), None):
        raise RunConflict(
            f"--run-id {run} is taken in {store.url}: choose another id, or --resume {run}"
        )
    return ObjectsHold(store, run, output_stays)
