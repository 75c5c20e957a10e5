//! Chooses the cards that a run leases from those that were found, and says why others are not among them.

use fedflow_core::{Device, Pin};

use crate::nvidia::{CardError, CardRole, FoundCard, NoDriver, VisibleList};
use crate::problems::{NoCards, OpenError, Warning};

/// The cards that a run leases: their names, and their places in the list of found cards. Without `pins` these are all
/// visible cards.
pub(super) fn choose(
    pins: Option<&[Pin]>,
    found: &[FoundCard],
    visible: &VisibleList,
) -> Result<Vec<(Device, usize)>, OpenError> {
    let all: Vec<(Device, usize)> =
        (0..).zip(&visible.cards).map(|(ordinal, place)| (Device::Cuda(ordinal), *place)).collect();
    let Some(pins) = pins else { return Ok(all) };
    let mut chosen: Vec<(Device, usize)> = Vec::with_capacity(pins.len());
    for pin in pins {
        let uuid = |place: usize| found[place].uuid.as_deref();
        let Some((device, place)) =
            all.iter().copied().find(|(device, place)| pin.matches(*device, uuid(*place)))
        else {
            return Err(missing(pin, found, &all));
        };
        let uncertain = visible.uncertain_from.is_some_and(|from| device >= Device::Cuda(from));
        if uncertain && matches!(pin, Pin::Device(_)) {
            return Err(missing(pin, found, &all));
        }
        if chosen.iter().any(|(_, known)| *known == place) {
            return Err(OpenError::SameCard { pin: pin.clone(), device });
        }
        chosen.push((device, place));
    }
    Ok(chosen)
}

/// Why a pin means no card.
fn missing(pin: &Pin, found: &[FoundCard], visible: &[(Device, usize)]) -> OpenError {
    let named = found.iter().find(|card| matches!(pin, Pin::Uuid(uuid) if card.uuid.as_ref() == Some(uuid)));
    let error = named.and_then(|card| match card.role {
        CardRole::Divided => Some(CardError::Divided),
        CardRole::Whole | CardRole::Instance => card.error.clone(),
    });
    if let Some(error) = error {
        return OpenError::CardFailed { pin: pin.clone(), error };
    }
    let names: Vec<String> = visible
        .iter()
        .map(|(device, place)| format!("{device} ({})", found[*place].uuid.as_deref().unwrap_or("?")))
        .collect();
    let mut available = names.join(", ");
    if let Some(failed) = found.iter().find(|card| card.error.is_some()) {
        available.push_str(&format!("; card {} is not used, so name the others by UUID", failed.label()));
    }
    OpenError::NoSuchCard { pin: pin.clone(), available }
}

/// What people should know of the found cards.
pub(super) fn warnings_of(found: &[FoundCard], visible: &VisibleList) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = visible.failed.iter().map(|place| dropped(&found[*place])).collect();
    if let Some(from) = visible.uncertain_from.filter(|from| (*from as usize) < visible.cards.len()) {
        warnings.push(Warning::NumbersMoved { from: Device::Cuda(from) });
    }
    warnings.extend(visible.hidden.clone().map(Warning::Hidden));
    if visible.cards.iter().any(|place| found[*place].role == CardRole::Instance) {
        warnings.push(Warning::Instances);
    }
    warnings
}

/// Why no card can be used; the visible list is empty.
pub(super) fn no_cards(found: &[FoundCard], visible: VisibleList) -> NoCards {
    if let Some(hidden) = visible.hidden {
        return NoCards::Hidden(hidden);
    }
    let failures: Vec<Warning> = found
        .iter()
        .enumerate()
        .filter(|(place, card)| card.error.is_some() || visible.failed.contains(place))
        .map(|(_, card)| dropped(card))
        .collect();
    match (failures.is_empty(), found.is_empty()) {
        (false, _) => NoCards::AllFailed { failures },
        (true, true) => NoCards::NoDriver(NoDriver::NoCard),
        (true, false) => NoCards::NoInstances,
    }
}

fn dropped(card: &FoundCard) -> Warning {
    let error = card.error.clone().unwrap_or(CardError::Divided);
    Warning::CardDropped { device: None, card: card.label(), error }
}
