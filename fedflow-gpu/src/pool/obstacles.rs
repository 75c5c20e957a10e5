//! What is in the way of a request, for people: leases of other runs, programs without a lease, memory that was not given
//! back.

use fedflow_core::{Device, LeaseRequest, Obstacle, Occupant, Size};

use super::run_pool::Pool;
use crate::ledger::SupervisorBookings;
use crate::machine::user_name;

/// What other runs and programs have of the devices that would suit a request.
pub(super) fn find(pool: &Pool, request: &LeaseRequest) -> Vec<Obstacle> {
    // What cannot be read is not told; why it cannot is told elsewhere.
    let survey = pool.ledger.as_ref().and_then(|ledger| ledger.survey().ok()).unwrap_or_default();
    let booked_processes = survey.processes();
    let mut obstacles = Vec::new();
    let devices = pool.table.devices();
    for place in pool.table.suiting(request) {
        // Slots beside cards are not among the devices.
        let info = devices.get(place);
        let (device, has_memory) =
            info.map_or((Device::Cpu, false), |info| (info.device, info.memory.is_some()));
        let card = pool.ledger.as_ref().and_then(|ledger| ledger.card(place)).unwrap_or_default();
        for run in &survey.supervisors {
            add_run(&mut obstacles, run, card, device, has_memory);
        }
        let quarantined = survey.on(card).quarantined;
        if quarantined > Size::ZERO {
            let memory = Some(quarantined);
            obstacles.push(Obstacle { device, memory, occupant: Occupant::Unreleased });
        }
        if let Some(cards) = pool.kind.cards() {
            let booked = pool.table.booked(device) + survey.on(card).memory;
            obstacles.extend(cards.obstacles(device, booked, &booked_processes));
        }
    }
    obstacles.iter_mut().for_each(|obstacle| clean(&mut obstacle.occupant));
    obstacles
}

/// Takes out of what other users have named whatever could steer a terminal.
fn clean(occupant: &mut Occupant) {
    let named = match occupant {
        Occupant::Run { user, directory, task, .. } => {
            clean_text(user);
            [directory, task]
        }
        Occupant::Process { name, user, .. } => [name, user],
        Occupant::Unreleased | Occupant::Unknown => return,
    };
    named.into_iter().flatten().for_each(clean_text);
}

fn clean_text(text: &mut String) {
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ';
    *text = text.chars().map(|c| if is_plain(c) { c } else { '?' }).collect();
}

/// Adds what a run has of a device; of several CPU slots that a run has, one is told.
fn add_run(
    obstacles: &mut Vec<Obstacle>,
    run: &SupervisorBookings,
    card: &str,
    device: Device,
    has_memory: bool,
) {
    let booked = || run.bookings.iter().filter(|booking| booking.card == card && !booking.quarantined);
    let Some(first) = booked().next() else { return };
    let memory = has_memory.then(|| booked().map(|booking| booking.memory).sum());
    let supervisor = run.header.supervisor.pid;
    let occupant = Occupant::Run {
        user: user_name(run.user),
        supervisor,
        directory: run.header.run.clone(),
        task: first.task.clone(),
    };
    let is_told = |other: &Obstacle| {
        let is_same = matches!(other.occupant, Occupant::Run { supervisor: pid, .. } if pid == supervisor);
        is_same && other.device == device
    };
    if !obstacles.iter().any(is_told) {
        obstacles.push(Obstacle { device, memory, occupant });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_users_name_cannot_steer_a_terminal() {
        let mut occupant =
            Occupant::Process {
                pid: 7, name: Some("\u{1b}[2J\u{202e}x".into()), user: Some("анна".into())
            };
        clean(&mut occupant);
        let expected =
            Occupant::Process { pid: 7, name: Some("?[2J?x".into()), user: Some("анна".into()) };
        assert_eq!(occupant, expected);
    }
}
