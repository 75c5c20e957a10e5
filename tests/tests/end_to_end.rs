//! The built `fedflow` from outside: flows, faults, bad input, results, overlap, devices, the report in a browser.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "end_to_end/again.rs"]
mod again;
#[path = "end_to_end/bad_input.rs"]
mod bad_input;
#[path = "end_to_end/changed_flows.rs"]
mod changed_flows;
#[path = "end_to_end/cpu_tasks.rs"]
mod cpu_tasks;
#[path = "end_to_end/demo.rs"]
mod demo;
#[path = "end_to_end/devices.rs"]
mod devices;
#[path = "end_to_end/experiments.rs"]
mod experiments;
#[path = "end_to_end/failures.rs"]
mod failures;
#[path = "end_to_end/faults.rs"]
mod faults;
#[path = "end_to_end/flows.rs"]
mod flows;
#[path = "end_to_end/gpu_check.rs"]
mod gpu_check;
#[path = "end_to_end/host_memory.rs"]
mod host_memory;
#[path = "end_to_end/load_ahead.rs"]
mod load_ahead;
#[path = "end_to_end/lost_cards.rs"]
mod lost_cards;
#[path = "end_to_end/out_of_memory.rs"]
mod out_of_memory;
#[path = "end_to_end/overlap.rs"]
mod overlap;
#[path = "end_to_end/places.rs"]
mod places;
#[path = "end_to_end/plan.rs"]
mod plan;
#[path = "end_to_end/report.rs"]
mod report;
#[path = "end_to_end/report_page.rs"]
mod report_page;
#[path = "end_to_end/results.rs"]
mod results;
#[path = "end_to_end/resume.rs"]
mod resume;
#[path = "end_to_end/reuse.rs"]
mod reuse;
#[path = "end_to_end/sessions.rs"]
mod sessions;
#[path = "end_to_end/several_runs.rs"]
mod several_runs;
#[path = "end_to_end/simulated_memory.rs"]
mod simulated_memory;
#[path = "end_to_end/start_orders.rs"]
mod start_orders;
#[path = "end_to_end/telemetry.rs"]
mod telemetry;
#[path = "end_to_end/time_limits.rs"]
mod time_limits;
#[path = "end_to_end/waits.rs"]
mod waits;
