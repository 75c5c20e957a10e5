//! `Devices`: the devices of a run, opened.

use fedflow_core::Config;
use fedflow_gpu::{ChoiceError, DeviceChoice, DeviceEnvironment, Pool};

/// The devices that a run uses.
#[derive(Debug)]
pub struct Devices {
    pub(super) choice: String,
    pub(super) pool: Pool,
    pub(super) note: Option<String>,
}

/// Which devices a run is to use.
pub(super) enum DevicesChoice {
    Text(String),
    Opened(Box<Devices>),
}

/// Why devices cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DevicesError {
    /// The text does not describe devices.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// There are no such devices, or their leases cannot be booked.
    #[error(transparent)]
    Pool(#[from] fedflow_gpu::OpenError),
}

impl DevicesChoice {
    /// The devices, opened if they are not yet.
    ///
    /// # Errors
    /// As for [`Devices::open`].
    pub(super) fn take(&mut self, config: &Config) -> Result<Devices, DevicesError> {
        match std::mem::replace(self, Self::Text(String::new())) {
            Self::Text(choice) => Devices::open(&choice, config),
            Self::Opened(devices) => Ok(*devices),
        }
    }
}

impl Devices {
    /// Opens the devices that a text describes: `auto`, `cpu:4`, `sim:2x24GB` or `cuda:0,cuda:2`, as for the option
    /// `--devices` of the command line. Reads this process's `CUDA_VISIBLE_DEVICES` and `FEDFLOW_LEASE_DIR`.
    ///
    /// # Errors
    /// The text does not describe devices, or there are no such devices.
    pub fn open(choice: &str, config: &Config) -> Result<Self, DevicesError> {
        let parsed: DeviceChoice = choice.parse()?;
        let opened = Pool::open(&parsed, config, &DeviceEnvironment::from_process())?;
        Ok(Self { choice: choice.into(), pool: opened.pool, note: opened.note })
    }

    /// The pool that leases them.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Why there are CPU slots instead of cards; `None` unless `auto` found no card.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}
