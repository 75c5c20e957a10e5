//! The control flow of the scheduler. These files hold no state and read from top to bottom: `dispatch` says what may go on
//! now, `device_requests` which worker asks for a device and what follows a refusal, `attempt` how an attempt goes its way,
//! `aftermath` what becomes of a task whose attempt has no result, `measured` what follows when memory was measured,
//! and `waiting` what a run that stands still waits for.

pub(super) mod aftermath;
pub(super) mod attempt;
pub(super) mod device_requests;
pub(super) mod dispatch;
pub(super) mod measured;
pub(super) mod waiting;
