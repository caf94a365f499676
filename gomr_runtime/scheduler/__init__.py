"""The scheduler of one run. Everything that decides who runs what, and what counts, lives here.

Theory of operation
===================

The scheduler is a state machine without I/O. A driver (`master/core`) hands it one event at a time
with `Scheduler.handle`; the scheduler changes its state and returns a list of commands, which the
driver carries out in the order of the list. It has no clock: every event carries `now`, seconds on
the master's monotonic clock, and time that goes backwards is taken to stand still. It draws no
random numbers and its decisions do not depend on hashes: the same events give the same commands in
every process. That is what makes a run of the simulation, and every bug it finds, repeatable.

An event (events.py) says what happened; it is never refused because of who sent it. Messages come
late, twice, or from workers that were given up, so senders.py asks of each message whether it still
counts; one that does not is counted as stale and its sender is told what to drop. An event that
cannot happen whatever the network does (a commit settled that nobody asked for) is a defect, and
raises InvalidTransition with the history of the task.

A command (commands.py) says what to do. The driver owes the scheduler an answer to three of them:

  CommitAttempt  ->  CommitSettled    after the manifest is durable, with the attempt that won
  SealMaps       ->  MapsSealed       after the list of map outputs is stored
  PromoteOutput  ->  OutputPromoted   after every part and _SUCCESS stand under the output

It answers StoreFailed instead, or CommitSettled without a winner, when the store stays out of
reach. It sends a Tick a few times a second. To StartAttempt, AbandonAttempt and ExpireWorker no
answer is owed: the worker may be gone. AnnouncePhase and RepeatMap are for those who watch, and
after FinishRun nothing follows.

The run goes through phases (`PHASES` in state.py is the whole table):

  wait -> [sample ->] map -> seal -> reduce -> promote -> finished

A map-only run goes from map to promote. Only damage leads back: from seal or reduce to map. An
error, a deadline (DeadlineExceeded) or a cancel leads from anywhere to finished, and after that
every event is ignored.

The life of a task (`TASKS`): it is PENDING until it is handed to a worker, RUNNING while any
attempt of it runs, COMMITTING from the first success until the store has answered, COMMITTED then.
When its last running attempt ends without success it is PENDING again, within its budgets: failures
of its own (max_attempts, of these max_timeouts), and attempts lost to workers or to the store
(max_lost), which are not the task's fault.

The life of an attempt (`ATTEMPTS`): RUNNING, then FAILED, LOST, ABANDONED (the run ended),
SUPERSEDED (another one won), or SUCCEEDED and then COMMITTED. Numbers of attempts are never used
twice. A task has at most one backup attempt a generation (backups.py), and never two on one worker.
The first success asks for a commit; a second one waits as the fallback and asks for nothing. The
store decides which attempt won: an earlier master's commit may stand where we asked for ours.

The life of a worker: a name is one incarnation of one process. It joins, asks for tasks with the
room it has (matching.py deals tasks to workers in the order in which they asked), and every message
of it renews its lease. After `lease` seconds of silence, or a goodbye, it is lost for good: its
attempts are LOST, its name is refused, and it must join under a new one. An attempt that two
heartbeats in a row do not name never arrived, and is lost without its worker. A worker that fails
one task after another gets nothing while there is a healthy one.

Damage and generations: a reducer that cannot read a block blames the map that wrote it. The map's
committed attempt becomes DAMAGED, the map PENDING in its next generation, whose manifest has a key
of its own, so that nothing is overwritten. When it is committed again a new list of map outputs is
stored, and reducers that start then read that. What a reducer says of an older list is no news
(`read_by` in damage.py compares `sealed` of both). A map that is found damaged max_attempts times
ends the run.

Epochs: each master of a run has its own scheduler and takes the next epoch. Its attempts begin at
`first_attempt`, above every number that an earlier master can have used. It learns what those
committed by CommitRecovered, before any worker joins; what they had running is nobody's.

Invariants, which tests/simulation/invariants.py checks after every event:

  * A COMMITTED task has exactly one COMMITTED attempt, every other task none.
  * Every RUNNING attempt is in `running` of a live worker, and every attempt there is RUNNING.
  * A reduce attempt starts only in phase reduce, after the list of all maps was stored.
  * A worker runs at most one attempt of a task at a time.
  * Nothing waits without need: no pending task that a waiting worker may take.
  * An event costs about the same whatever the number of tasks; only a Tick looks at every worker
    and every running attempt.

Where things are: state.py has the tables, run_state.py the state, machine.py the dict from events
to handlers. The handlers are functions on the state, a module a subject: planning, workers,
attempts, commits, damage, phases. verdict.py turns failures into the error that ends a run.
tests/unit/scheduler/transcripts has ten runs to read.
"""
