//! The system check: whether the kernel has every call that Fedflow cannot do without.

use std::fmt;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid};

/// A system call that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingCall {
    /// Its name.
    pub name: &'static str,
    /// The version of Linux that has it.
    pub since: &'static str,
}

const PIDFD_OPEN: MissingCall = MissingCall { name: "pidfd_open", since: "5.3" };
const WAIT_ON_PIDFD: MissingCall = MissingCall { name: "waitid(P_PIDFD)", since: "5.4" };
const CLOSE_RANGE: MissingCall = MissingCall { name: "close_range(CLOSE_RANGE_CLOEXEC)", since: "5.11" };

/// The system is too old for Fedflow, or a sandbox forbids calls that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTooOld {
    /// What is missing, not empty.
    pub missing: Vec<MissingCall>,
    /// The kernel's own name for its version, such as `4.18.0-553`.
    pub kernel: String,
}

impl fmt::Display for SystemTooOld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this system (Linux {}) lacks ", self.kernel)?;
        for (place, call) in self.missing.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} (Linux {})", call.name, call.since)?;
        }
        f.write_str("; Fedflow needs Linux 5.11 or newer, and a sandbox that allows these calls")
    }
}

impl std::error::Error for SystemTooOld {}

/// Whether this system has what Fedflow needs: Linux 5.11 or newer.
///
/// # Errors
/// Calls are missing; the error names them all.
pub fn check_system() -> Result<(), SystemTooOld> {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    judge(probe_calls(), kernel)
}

/// What each call answered to a harmless question.
struct Answers {
    pidfd_open: Result<(), Errno>,
    wait_on_pidfd: Result<(), Errno>,
    close_range: Result<(), Errno>,
}

fn probe_calls() -> Answers {
    let own = pidfd_open(getpid(), PidfdFlags::empty());
    let wait_on_pidfd = match &own {
        Ok(own) => {
            use std::os::fd::AsFd as _;
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            waitid(WaitId::PidFd(own.as_fd()), options).map(drop)
        }
        Err(error) => Err(*error),
    };
    // SAFETY: no descriptor has such a number, so none is closed. rustix has no such call.
    let closed =
        unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    let close_range = match closed {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::NOSYS)),
    };
    Answers { pidfd_open: own.map(drop), wait_on_pidfd, close_range }
}

fn judge(answers: Answers, kernel: String) -> Result<(), SystemTooOld> {
    let mut missing = Vec::new();
    // A kernel without the call has no such number; a sandbox mostly says that it is not permitted.
    if matches!(answers.pidfd_open, Err(Errno::NOSYS | Errno::PERM)) {
        missing.push(PIDFD_OPEN);
    }
    // No process is its own child: a kernel that understands the question says so. Others find it invalid.
    if matches!(answers.wait_on_pidfd, Err(Errno::INVAL | Errno::NOSYS | Errno::PERM)) {
        missing.push(WAIT_ON_PIDFD);
    }
    // Linux 5.9 and 5.10 have the call and not the flag.
    if matches!(answers.close_range, Err(Errno::INVAL | Errno::NOSYS | Errno::PERM)) {
        missing.push(CLOSE_RANGE);
    }
    if missing.is_empty() { Ok(()) } else { Err(SystemTooOld { missing, kernel }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers { pidfd_open: Ok(()), wait_on_pidfd: Err(Errno::CHILD), close_range: Ok(()) }
    }

    #[test]
    fn the_system_of_the_tests_is_new_enough() {
        check_system().unwrap();
    }

    #[test]
    fn each_kernel_lacks_what_came_after_it() {
        let missing = |answers: Answers| match judge(answers, "x".into()) {
            Ok(()) => Vec::new(),
            Err(error) => error.missing,
        };
        assert_eq!(missing(answers()), []);
        let of_5_10 = Answers { close_range: Err(Errno::INVAL), ..answers() };
        assert_eq!(missing(of_5_10), [CLOSE_RANGE]);
        let of_5_8 = || Answers { close_range: Err(Errno::NOSYS), ..answers() };
        assert_eq!(missing(of_5_8()), [CLOSE_RANGE]);
        let of_5_3 = || Answers { wait_on_pidfd: Err(Errno::INVAL), ..of_5_8() };
        assert_eq!(missing(of_5_3()), [WAIT_ON_PIDFD, CLOSE_RANGE]);
        let of_4_18 = Answers { pidfd_open: Err(Errno::NOSYS), wait_on_pidfd: Err(Errno::NOSYS), ..of_5_8() };
        let error = judge(of_4_18, "4.18.0-553".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this system (Linux 4.18.0-553) lacks pidfd_open (Linux 5.3), waitid(P_PIDFD) (Linux 5.4), \
             close_range(CLOSE_RANGE_CLOEXEC) (Linux 5.11); Fedflow needs Linux 5.11 or newer, and a sandbox that allows these \
             calls"
        );
    }
}
