//! Telemetry: how busy, full and warm the devices of a pool are, sampled by a thread of its own.
//!
//! It shares nothing with leasing but NVIDIA's library and one number for each device ([`BookedMemory`]), so neither
//! waits for the other.

mod booked_memory;
mod telemetry_sampler;
mod telemetry_source;

pub(crate) use booked_memory::BookedMemory;
pub use telemetry_sampler::TelemetrySampler;
pub use telemetry_source::TelemetrySource;
