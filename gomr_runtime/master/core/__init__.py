"""The core of a master: everything that it decides, and nothing that it does.

Theory of operation
===================

One Core is one master's part in one run. Its driver turns messages, timers and answers of the store
into events and hands them to `Core.handle`, one at a time; the core returns effects, which the
driver carries out in the order of the list. The core has no clock, no threads, no store and no
network, and imports no protobuf: a nonce is the only thing that it draws, from a function that it
was given. So the simulation runs this very core in a world of its own.

The core holds the scheduler (gomr_runtime/scheduler, which decides who runs what and which attempt
wins), the assignments (assignments.py: what the attempts in flight were asked for, with their
nonces) and the books (books.py: the manifests that were committed, and what they add up to). The
scheduler knows names and numbers only; what an attempt made is known here.

An event says what happened (inputs.py, besides those events of the scheduler that pass through):

  PlanMade           the input is split, and these commits of earlier masters stand
  HeartbeatReceived  what a worker runs, how far each is, and its room for more
  AttemptReported    how an attempt ended; it counts only with this epoch and the attempt's nonce
  DutyAnswered       the store's answer to a duty, or the error that it ended with
  RunFailed          the run cannot go on, whatever the scheduler would say
  MasterReplaced     a newer master goes on with the run

An effect says what to do (effects.py). Assign, Abandon and Expire go to a worker; Log, ShowPhase
and LogMapsCompleted to whoever watches; Perform asks something of the store; Announce ends the run
for everybody; StepDown leaves it to a newer master without a trace. After the last two the core is
`over`, and every event is ignored.

A duty (duties.py) is one blocking call on the journal that the driver makes in a thread:

  Commit        create the manifest of an attempt   answered by the manifest that stands
  Seal          store the list of map outputs       answered by its key
  TypeParts     store parts again with types        answered by those parts
  Conclude      decide how the run ends             answered by the decision that stands
  WriteSummary  store the summary                   answered by nothing

What the driver owes the core:

  * It hands over every event exactly once, from one thread, `now` on one monotonic clock.
  * It performs every duty and posts one DutyAnswered for it, with a GomrError where the retries of
    the store are spent, or with RunConflict where a newer master has been found.
  * It carries out effects in their order and waits for no duty before the next effect.
  * It sends Tick a few times a second, and nothing after Announce or StepDown.

How a run ends: three steps, so that a crash between any two of them loses nothing. First Conclude
decides: a create-only mark in the log of epochs, with the summary and the keys of the parts. A run
that succeeds has its output made by the same duty. Whichever decision stands first is the end: a
cancel that comes after the output was decided on changes nothing. Then WriteSummary stores it for
those who ask later. Then Announce says it. A master that starts and finds a decision carries out
what is left of it.

Epochs: every master of a run takes the next epoch before anything else. Its attempts are numbered
from (epoch - 1) * ATTEMPTS_PER_EPOCH + 1, so that two masters never use one number for two
attempts. A report to another epoch is dropped and counted as stale; the store refuses what an older
master asks once a newer one has its mark, and the older one then steps down.

Invariants, which the oracle of tests/simulation holds every run to:

  * The books hold one manifest a task, that of its newest generation, and only what is committed.
  * The list of map outputs names for each map the attempt that the books name.
  * Nothing is committed whose result was not reported to this master, and no result is counted that
    is not committed.
  * A run is announced once, after its summary is stored or cannot be, and as it was decided.
"""
