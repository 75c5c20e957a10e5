//! Time limits count what a task does itself, and nothing that it waits for.

use fedflow_tests::Sandbox;

#[test]
fn tasks_that_wait_for_a_card_or_for_their_group_fail_by_no_limit() {
    let sandbox = Sandbox::new();
    // One card that holds one task at a time, which each needs for 0.3 s: the last one waits for far longer than its limit.
    sandbox.write(
        "flow.toml",
        "name = \"seeds\"\nworkdir = \"res\"\n[workers.scripted]\ncommand = [\"{scripted}\"]\n\
         [[groups]]\nname = \"train\"\nestimate-cuda-memory = \"4GB\"\ntimeout = \"1s\"\n\
         [[groups.tasks]]\nmatrix = { seed = { from = 0, to = 8 } }\nid = \"seed-{{ seed }}\"\n\
         command = [\"sleep\", \"0.3\"]\n\
         [[groups]]\nname = \"next\"\nload-ahead = true\ntimeout = \"1s\"\n\
         tasks = [{ id = \"ahead\", worker = \"scripted\", kind = \"scripted\" }]\n",
    );
    let outcome = sandbox.fedflow("run flow.toml --devices sim:1x8GB");
    assert_eq!(outcome.code, 0, "{}{}", outcome.stdout, outcome.stderr);
    let results = sandbox.results();
    let tasks =
        results["groups"].as_array().unwrap().iter().flat_map(|group| group["tasks"].as_array().unwrap());
    let states: Vec<_> = tasks.map(|task| (task["status"].as_str().unwrap(), &task["attempts"])).collect();
    assert_eq!(states, vec![("finished", &1.into()); 9]);
}
