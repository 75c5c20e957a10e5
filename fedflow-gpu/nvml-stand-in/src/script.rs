//! `Script`: what the stand-in's driver and cards answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The script's file name, in the library's directory.
pub const SCRIPT_FILE: &str = "stand-in.json";

/// What the driver answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Script {
    /// The error of `nvmlInit_v2`; `None`: it succeeds.
    pub init_error: Option<Code>,
    /// The driver's version.
    pub driver: String,
    /// The version of CUDA that it supports, as NVML codes it: 12040 is 12.4.
    pub cuda: i32,
    /// The cards, in PCI order.
    pub cards: Vec<Card>,
    /// The error of every call; `None`: the driver works.
    pub driver_error: Option<Code>,
    /// How the answers change, scene by scene.
    pub later: Vec<Scene>,
}

/// What the driver answers from some step on.
///
/// A test moves on by steps ([`StandIn::advance`](crate::StandIn::advance)), so nothing depends on time. For trials by
/// hand, a scene can also begin by itself some time after the script was written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scene {
    /// The step with which it begins, from 1; 0: never.
    pub step: u32,
    /// How many seconds after the script was written it begins; `None`: only with its step.
    pub after_seconds: Option<f64>,
    /// The error of every call from then on; `None`: the driver works.
    pub driver_error: Option<Code>,
    /// The cards from then on.
    pub cards: Vec<Card>,
}

/// The name of the step's file, in the library's directory. Without the file it is step 0.
pub const STEP_FILE: &str = "stand-in.step";

impl Default for Script {
    fn default() -> Self {
        Self {
            init_error: None,
            driver: "550.54.15".into(),
            cuda: 12_040,
            cards: Vec::new(),
            driver_error: None,
            later: Vec::new(),
        }
    }
}

impl Script {
    /// A working driver with these cards. Cards without a PCI address get one by their place.
    #[must_use]
    pub fn of(cards: impl IntoIterator<Item = Card>) -> Self {
        let mut cards: Vec<Card> = cards.into_iter().collect();
        for (place, card) in cards.iter_mut().enumerate().filter(|(_, card)| card.pci_bus_id.is_empty()) {
            card.pci_bus_id = format!("00000000:{:02X}:00.0", place + 1);
        }
        Self { cards, ..Self::default() }
    }

    /// Adds a scene in which the cards are these, from the next step on.
    #[must_use]
    pub fn then(self, cards: impl IntoIterator<Item = Card>) -> Self {
        let cards = Self::of(cards).cards;
        self.with_scene(Scene { cards, ..Scene::default() })
    }

    /// Adds a scene in which every call fails with this error, from the next step on.
    #[must_use]
    pub fn then_gone(self, code: Code) -> Self {
        let cards = self.later.last().map_or(&self.cards, |scene| &scene.cards).clone();
        self.with_scene(Scene { driver_error: Some(code), cards, ..Scene::default() })
    }

    fn with_scene(mut self, scene: Scene) -> Self {
        let step = u32::try_from(self.later.len() + 1).unwrap_or(u32::MAX);
        self.later.push(Scene { step, ..scene });
        self
    }

    /// The script at a step and some seconds after it was written: the last scene that has begun.
    #[must_use]
    pub fn at(mut self, step: u32, seconds: f64) -> Self {
        let has_begun = |scene: &Scene| {
            (1..=step).contains(&scene.step) || scene.after_seconds.is_some_and(|after| seconds >= after)
        };
        if let Some(place) = self.later.iter().rposition(has_begun) {
            let Scene { driver_error, cards, .. } = self.later.swap_remove(place);
            (self.driver_error, self.cards) = (driver_error, cards);
        }
        self
    }

    /// A driver that does not start.
    #[must_use]
    pub fn failing(code: Code) -> Self {
        Self { init_error: Some(code), ..Self::default() }
    }

    /// The script beside the library that this code is in.
    pub(crate) fn read() -> Result<Self, Code> {
        let path = own_script().ok_or(Code::Unknown)?;
        let text = fs::read_to_string(path).map_err(|_| Code::Unknown)?;
        let script: Self = serde_json::from_str(&text).map_err(|_| Code::Unknown)?;
        let step = fs::read_to_string(path.with_file_name(STEP_FILE)).ok();
        let step = step.and_then(|step| step.trim().parse().ok()).unwrap_or(0);
        let written = fs::metadata(path).and_then(|data| data.modified()).ok();
        let age = written.and_then(|written| written.elapsed().ok()).unwrap_or_default();
        Ok(script.at(step, age.as_secs_f64()))
    }
}

/// A card or a MIG instance. A value that is `None` is not supported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Card {
    /// `GPU-…` or `MIG-…`.
    pub uuid: String,
    /// The product's name.
    pub name: String,
    /// Its place on the PCI bus; an instance has none.
    pub pci_bus_id: String,
    /// Its memory.
    pub memory: Option<Memory>,
    /// Its utilization, in percent.
    pub utilization: Option<u32>,
    /// In degrees Celsius.
    pub temperature: Option<u32>,
    /// In milliwatts.
    pub power: Option<u32>,
    /// The number of its cores.
    pub cores: Option<u32>,
    /// Its highest clock, in MHz.
    pub clock: Option<u32>,
    /// The processes that compute on it.
    pub processes: Vec<Process>,
    /// Its MIG instances, if it is divided. A place without an instance is `None`.
    pub instances: Option<Vec<Option<Self>>>,
    /// The functions that fail on it, by name without `_v2` and the like; `*` means all.
    pub errors: BTreeMap<String, Code>,
}

impl Card {
    /// A healthy, idle card with this much memory, in bytes.
    #[must_use]
    pub fn new(uuid: &str, memory: u64) -> Self {
        Self {
            uuid: uuid.into(),
            name: "NVIDIA Stand-In".into(),
            memory: Some(Memory { total: memory, used: 0, reserved: 0 }),
            utilization: Some(0),
            temperature: Some(30),
            power: Some(50_000),
            cores: Some(5_120),
            clock: Some(1_500),
            ..Self::default()
        }
    }

    /// Sets how many bytes of its memory are used.
    #[must_use]
    pub fn using(mut self, used: u64) -> Self {
        if let Some(memory) = &mut self.memory {
            memory.used = used;
        }
        self
    }

    /// Adds a process that computes on it. [`Self::using`] must count its memory too.
    #[must_use]
    pub fn with_process(mut self, pid: u32, memory: u64) -> Self {
        self.processes.push(Process { pid, memory: Some(memory) });
        self
    }

    /// Makes a function fail on it; `*` means all.
    #[must_use]
    pub fn failing(mut self, function: &str, code: Code) -> Self {
        self.errors.insert(function.into(), code);
        self
    }

    /// Divides it into MIG instances.
    #[must_use]
    pub fn divided(mut self, instances: impl IntoIterator<Item = Self>) -> Self {
        self.instances = Some(instances.into_iter().map(Some).collect());
        self
    }

    pub(crate) fn check(&self, function: &str) -> Result<(), Code> {
        let failing = self.errors.get(function).or_else(|| self.errors.get("*"));
        failing.map_or(Ok(()), |code| Err(*code))
    }
}

/// A card's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What processes use.
    pub used: u64,
    /// What the driver reserves. The first version of the function counts it as used.
    pub reserved: u64,
}

/// A process on a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Its number on the host.
    pub pid: u32,
    /// What it uses, in bytes; `None` if it is not known.
    pub memory: Option<u64>,
}

/// The error of a call: `nvmlReturn_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u32)]
pub enum Code {
    /// `NVML_ERROR_INVALID_ARGUMENT`
    InvalidArgument = 2,
    /// `NVML_ERROR_NOT_SUPPORTED`
    NotSupported = 3,
    /// `NVML_ERROR_NO_PERMISSION`
    NoPermission = 4,
    /// `NVML_ERROR_NOT_FOUND`
    NotFound = 6,
    /// `NVML_ERROR_INSUFFICIENT_SIZE`
    InsufficientSize = 7,
    /// `NVML_ERROR_INSUFFICIENT_POWER`
    InsufficientPower = 8,
    /// `NVML_ERROR_DRIVER_NOT_LOADED`
    DriverNotLoaded = 9,
    /// `NVML_ERROR_GPU_IS_LOST`
    GpuIsLost = 15,
    /// `NVML_ERROR_RESET_REQUIRED`
    ResetRequired = 16,
    /// `NVML_ERROR_OPERATING_SYSTEM`
    OperatingSystem = 17,
    /// `NVML_ERROR_LIB_RM_VERSION_MISMATCH`
    LibRmVersionMismatch = 18,
    /// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`
    ArgumentVersionMismatch = 25,
    /// `NVML_ERROR_UNKNOWN`
    Unknown = 999,
}

/// The script's path: the directory of the file that the running code was loaded from, as the kernel lists it.
fn own_script() -> Option<&'static Path> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    PATH.get_or_init(|| {
        let own_address = own_script as fn() -> Option<&'static Path> as usize;
        let maps = fs::read_to_string("/proc/self/maps").ok()?;
        let library = maps.lines().find_map(|line| mapped_file(line, own_address))?;
        Some(Path::new(library).parent()?.join(SCRIPT_FILE))
    })
    .as_deref()
}

/// The file of a line of `/proc/self/maps`, if the line's range holds the address.
fn mapped_file(line: &str, address: usize) -> Option<&str> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    range.contains(&address).then(|| line.find('/').map(|at| &line[at..]))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_back_as_it_was() {
        let card = Card::new("GPU-a", 8).using(3).with_process(7, 2).failing("*", Code::GpuIsLost);
        let script = Script::of([card.divided([Card::new("MIG-a", 4)])]);
        let text = serde_json::to_string(&script).unwrap();
        assert_eq!(serde_json::from_str::<Script>(&text).unwrap(), script);
        assert!(text.contains("gpu-is-lost"), "{text}");
    }

    #[test]
    fn scenes_follow_by_step_or_by_time() {
        let card = |used| Card::new("GPU-a", 8).using(used);
        let mut script = Script::of([card(1)]).then([card(2)]).then_gone(Code::DriverNotLoaded);
        let used = |script: &Script, step, seconds| {
            let now = script.clone().at(step, seconds);
            (now.cards[0].memory.unwrap().used, now.driver_error)
        };
        let gone = Some(Code::DriverNotLoaded);
        assert_eq!(used(&script, 0, 100.0), (1, None));
        assert_eq!(used(&script, 1, 100.0), (2, None));
        assert_eq!((used(&script, 2, 0.0), used(&script, 9, 0.0)), ((2, gone), (2, gone)));
        script.later[1].after_seconds = Some(3.0);
        assert_eq!((used(&script, 0, 2.9), used(&script, 0, 3.0)), ((1, None), (2, gone)));
    }

    #[test]
    fn a_wrong_key_is_refused() {
        assert!(serde_json::from_str::<Script>(r#"{"card": []}"#).is_err());
    }

    #[test]
    fn an_error_means_one_function_or_all() {
        let card = Card::new("GPU-a", 8).failing("nvmlDeviceGetName", Code::NotSupported);
        assert_eq!(card.check("nvmlDeviceGetName"), Err(Code::NotSupported));
        assert_eq!(card.check("nvmlDeviceGetUUID"), Ok(()));
        assert_eq!(card.failing("*", Code::GpuIsLost).check("nvmlDeviceGetUUID"), Err(Code::GpuIsLost));
    }

    #[test]
    fn the_file_of_an_address_is_found() {
        let line = "7f00-7fff r-xp 00001000 08:01 42      /tmp/a dir/lib.so";
        assert_eq!(mapped_file(line, 0x7f80), Some("/tmp/a dir/lib.so"));
        assert_eq!(mapped_file(line, 0x7fff), None);
        assert_eq!(mapped_file("7f00-7fff rw-p 00000000 00:00 0 ", 0x7f80), None);
    }
}
