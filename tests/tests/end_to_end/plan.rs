//! `fedflow plan`: the same scheduler in virtual time.

use fedflow_tests::Sandbox;

#[test]
fn a_plan_tells_makespan_bound_and_idle_time() {
    let sandbox = Sandbox::new();
    let flow = |estimate: &str| {
        format!(
            "[[groups]]\nname = \"g\"\n{estimate}[[groups.tasks]]\nmatrix = {{ i = {{ from = 0, to = 12 }} }}\n\
             id = \"t{{{{ i }}}}\"\ncommand = [\"true\"]\nexpected-load = \"1s\"\nexpected-train = \"10s\"\n"
        )
    };
    sandbox.write("flow.toml", &flow(""));
    let told = sandbox.fedflow("plan flow.toml --devices cpu:2");
    assert_eq!(told.code, 0);
    assert!(told.stdout.contains("makespan     1m 1s\nlower bound  1m 1s\n"), "{}", told.stdout);
    assert!(told.stdout.contains("device idle  2s (1.6 %"), "{}", told.stdout);
    // Two share a card of 10 GB, of which 8 may be leased: six turns, and the bound is what their memory allows.
    sandbox.write("flow.toml", &flow("estimate-cuda-memory = \"4GB\"\n"));
    let told = sandbox.fedflow("plan flow.toml --devices sim:1x10GB");
    assert!(told.stdout.contains("makespan     1m 1s\nlower bound  1m 1s\n"), "{}", told.stdout);
    assert!(!sandbox.path().join("res").exists(), "nothing is run");
    sandbox.write("flow.toml", "[[groups]]\ntasks = [{ id = \"t\", command = [\"true\"] }]\n");
    assert_eq!(sandbox.fedflow("plan flow.toml").code, 2, "nothing says how long it takes");
}
