//! A stand-in for NVIDIA's management library, `libnvidia-ml.so`, for tests on machines without a card.
//!
//! Built as a shared library, it exports the C functions that Fedflow calls through nvml-wrapper. Their answers come from
//! a [`Script`], a JSON file named `stand-in.json` beside the library that is read anew at each call. So a test copies the
//! library into a directory of its own ([`StandIn::install`]), needs no environment variable, disturbs no other test, and
//! can change the cards while it runs.
//!
//! ```no_run
//! use nvml_stand_in::{Card, Script, StandIn};
//!
//! let stand_in = StandIn::install(&Script::of([Card::new("GPU-a", 24_000_000_000)]))?;
//! assert!(stand_in.library().is_file());
//! # Ok::<(), nvml_stand_in::InstallError>(())
//! ```

mod script;

mod handle;

mod answer;

mod layout;

mod functions;

mod install;

pub use install::{InstallError, StandIn};
pub use script::{Card, Code, Memory, Process, SCRIPT_FILE, STEP_FILE, Scene, Script};
