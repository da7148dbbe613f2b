//! ocipipe: one stream that exists only once, stored as one object.
//!
//! The map, in the order the bytes meet it. *Pure* files know no clock, socket or file; each of the
//! others touches one outside thing. They meet in the commands: `put`, `get`,
//! `uploads` and `serve`.
//!
//! | module        | owns                                                         | pure |
//! |---------------|--------------------------------------------------------------|------|
//! | `cli`         | argv to a plain command value; `environment` is the host's   | part |
//! | `run`         | carries the command out                                      |      |
//! | `units`       | sizes, durations, rates                                      | yes  |
//! | `destination` | `oci://BUCKET@NAMESPACE/NAME`                                | yes  |
//! | `heap`        | the system's memory, asked for again where it gives none     |      |
//! | `memory`      | how much memory the process may use                          |      |
//! | `schedule`    | part sizes, memory bound, longest stream                     | yes  |
//! | `pool`        | a bounded number of buffers; the buffer is the permit        |      |
//! | `digest`      | part digests and their combinations                          | yes  |
//! | `input`       | the thread that reads the stream into buffers                |      |
//! | `expect`      | whether a stream ends as its format must                     | yes  |
//! | `upload`      | the upload as a state machine: events and time in, actions out | yes |
//! | `retry`       | what an answer means and when to try again                   | yes  |
//! | `service`     | one attempt of one call: connect, look, sign, send, read     |      |
//! | `ask`         | small calls, asked with patience while nothing is at stake   |      |
//! | `child`       | the command after `--`, whose stdout is the stream           |      |
//! | `children`    | every wait for a process: commands, and orphans left to us    |      |
//! | `signals`     | the signals that ask a run to stop                           |      |
//! | `put`         | the driver: performs actions, returns events                 |      |
//! | `get`         | one object, written as a stream                              |      |
//! | `uploads`     | open uploads, listed or aborted                              |      |
//! | `http`        | connections, TLS, bodies, the stall watchdog                 |      |
//! | `oci`         | everything that knows Oracle: wire, signing, profile, token  | part |
//! | `progress`    | what people see on stderr                                    |      |
//! | `stderr`      | the thread that writes to stderr, so that nobody waits for a reader |  |
//! | `printable`   | text of others as it can be shown on a terminal              | yes  |
//! | `shell`       | words for commands that a person is to paste                 | yes  |
//! | `side_file`   | a small file that an option names                            |      |
//! | `worker`      | a thread that is there before it is needed, for what may block |    |
//! | `stdio`       | what stdin, stdout and stderr were at the start              |      |
//! | `receipt`     | the JSON object on stdout                                    | yes  |
//! | `emulator`    | a small true Object Storage; imports nothing from above      | part |
//! | `serve`       | the `serve` command and the embedded store of `--local`      |      |
//!
//! `tests/layers.rs` keeps this table true.

pub mod ask;
pub mod child;
pub mod children;
pub mod cli;
pub mod destination;
pub mod digest;
pub mod emulator;
pub mod error;
pub mod expect;
pub mod get;
pub mod heap;
pub mod http;
pub mod input;
pub mod memory;
pub mod oci;
pub mod pool;
pub mod printable;
pub mod progress;
pub mod put;
pub mod receipt;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod serve;
pub mod service;
pub mod shell;
pub mod side_file;
pub mod signals;
pub mod stderr;
pub mod stdio;
pub mod units;
pub mod upload;
pub mod uploads;
pub mod worker;
