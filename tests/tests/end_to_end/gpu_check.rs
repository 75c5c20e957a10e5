//! The check of real cards, as far as it works without a card: it says that there is none, and it distinguishes a step
//! that fails from one that passes.

use fedflow_tests::Sandbox;
use nvml_stand_in::{Card, Script, StandIn};

/// The check is beside `fedflow`, which is the first word of the line.
const CHECK: &str = "PATH=\"$PWD/bin:$PATH\" exec \"$(dirname \"$1\")/gpu-check\"";

#[test]
fn without_a_card_it_says_so_and_exits_with_two() {
    let sandbox = Sandbox::new().with_variable("FEDFLOW_NVML_LIBRARY", "/nowhere/libnvidia-ml.so");
    let outcome = sandbox.fedflow_in_shell(CHECK, "");
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.stdout.starts_with("nothing to check: NVIDIA's management library"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn each_step_is_told_with_its_reason() {
    let card = |uuid: &str| Card::new(uuid, 8 << 30);
    let stand_in = StandIn::install(&Script::of([card("GPU-a"), card("GPU-b")])).unwrap();
    let sandbox = Sandbox::new()
        .with_variable("FEDFLOW_NVML_LIBRARY", stand_in.library().display().to_string())
        .with_variable(
            "FEDFLOW_LEASE_DIR",
            stand_in.library().with_file_name("leases").display().to_string(),
        );
    // The output of NVIDIA's tool for these cards, then with the cards in another order.
    let rows = ["GPU-a, NVIDIA Stand-In, 8192", "GPU-b, NVIDIA Stand-In, 8192"];
    std::fs::create_dir(sandbox.path().join("bin")).unwrap();
    for (rows, first) in [(rows, "ok "), ([rows[1], rows[0]], "FAILED ")] {
        let script = format!("#!/bin/sh\nprintf '%s\\n' '{}' '{}'\n", rows[0], rows[1]);
        sandbox.write("bin/nvidia-smi", &script);
        let program = sandbox.path().join("bin/nvidia-smi");
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let outcome = sandbox.fedflow_in_shell(CHECK, "");
        assert_eq!(outcome.code, 1);
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert!(lines[0].starts_with("cuda:0: NVIDIA Stand-In, 8.6 GB, GPU-a"), "{}", lines[0]);
        assert!(lines[1].starts_with(first) && lines[1].contains("nvidia-smi"), "{}", lines[1]);
        // CUDA has no such card: every step that uses one finds out.
        assert_eq!(lines.len(), 9);
        assert!(lines[2..8].iter().all(|line| line.starts_with("FAILED")), "{}", outcome.stdout);
    }
}
