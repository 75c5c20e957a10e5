//! The charts of the report in a real browser: they are drawn, read, zoomed, switched and kept in the address.

use std::path::{Path, PathBuf};

use fedflow_tests::{Browser, Sandbox, Window};
use serde_json::{Value, json};

const WIDE: Window = Window { width: 1_600, dark: false };

/// The data that a page's charts draw.
pub(super) fn chart_data(page: &str) -> Value {
    let (begin, end) = data_place(page);
    serde_json::from_str(&page[begin..end]).expect("JSON")
}

/// The same page with other data: the policy names scripts by hash, and data are none.
fn with_data(page: &str, data: &Value) -> String {
    let (begin, end) = data_place(page);
    format!("{}{data}{}", &page[..begin], &page[end..])
}

fn data_place(page: &str) -> (usize, usize) {
    let element = "<script id=\"data\" type=\"application/json\">";
    let begin = page.find(element).expect("the page has charts") + element.len();
    (begin, begin + page[begin..].find("</script>").expect("the element ends"))
}

/// Three rounds of two clients, of which one fails in the last round.
fn federation(sandbox: &Sandbox) -> PathBuf {
    sandbox.write(
        "flow.toml",
        "name = \"rounds\"\n[[groups]]\nrepeat = 3\n[[groups.groups]]\nname = \"train-{{ round }}\"\n\
         [[groups.groups.tasks]]\nmatrix = { client = [0, 1] }\nid = \"client-{{ client }}\"\n\
         command = [\"sh\", \"-c\", \"test $1$2 != 31 && printf '{\\\"accuracy\\\": 0.%s%s}' $1 $2 > $FEDFLOW_RESULT\", \"t\", \"{{ round }}\", \"{{ client }}\"]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:2").code, 1);
    sandbox.path().join("res")
}

/// Scrolls to a part of the page and waits until its chart is drawn; returns where its corner is.
fn drawn(browser: &mut Browser, place: &str) -> (f64, f64) {
    browser.ask(&format!("document.querySelector('{place}').scrollIntoView()"));
    browser.wait_for(&format!(
        "document.querySelector('{place} canvas') && echarts.getInstanceByDom(document.querySelector('{place} .canvas'))"
    ));
    let corner = browser.ask(&format!(
        "(({{ x, y }}) => [x, y])(document.querySelector('{place} .canvas').getBoundingClientRect())"
    ));
    (corner[0].as_f64().unwrap(), corner[1].as_f64().unwrap())
}

/// The expression for a chart.
fn chart(place: &str) -> String {
    format!("echarts.getInstanceByDom(document.querySelector('{place} .canvas'))")
}

/// The expression for all text that a chart shows.
fn shown(place: &str) -> String {
    format!(
        "{}.getZr().storage.getDisplayList().map((part) => part.style.text ?? '').join('\\n')",
        chart(place)
    )
}

fn point(value: &Value) -> (f64, f64) {
    (value[0].as_f64().unwrap(), value[1].as_f64().unwrap())
}

#[test]
fn every_chart_is_drawn_at_any_width_light_and_dark() {
    let sandbox = Sandbox::new();
    let res = federation(&sandbox);
    let mut browser = Browser::start();
    for width in [400, 1_600] {
        for dark in [false, true] {
            browser.open(&res.join("report.html"), "", Window { width, dark });
            for place in ["#experiment .main", "#timeline .drawing"] {
                drawn(&mut browser, place);
            }
            let wide = browser.ask("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "the page is {wide} pixels wide");
            let lines = browser.ask(&format!("{}.getOption().textStyle.color", chart("#experiment .main")));
            assert_eq!(lines, if dark { "#9ba7b4" } else { "#59636e" });
        }
    }
    browser.open(&res.join("reports/train-1.html"), "", WIDE);
    assert_eq!(browser.ask("document.querySelectorAll('canvas').length"), 0);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_curve_is_read_switched_and_zoomed() {
    let sandbox = Sandbox::new();
    let res = federation(&sandbox);
    let mut browser = Browser::start();
    browser.open(&res.join("report.html"), "", WIDE);
    let place = "#experiment .main";
    let (left, top) = drawn(&mut browser, place);

    let (x, y) =
        point(&browser.ask(&format!("{}.convertToPixel({{ seriesIndex: 0 }}, [2, 0.205])", chart(place))));
    browser.point_at(left + x, top + y);
    browser
        .wait_for(&format!("{}.includes('round 2\\naccuracy: 0.205 (0.2 to 0.21, 2 values)')", shown(place)));

    browser.zoom_at(left + x, top + y, -300.0);
    browser.wait_for(&format!(
        "{}.getOption().dataZoom[0].end - {0}.getOption().dataZoom[0].start < 100",
        chart(place)
    ));
    browser.ask(
        "[...document.querySelectorAll('#experiment .main button')].find((of) => of.textContent === 'Whole').click()",
    );
    browser.wait_for(&format!("{}.getOption().dataZoom[0].end === 100", chart(place)));

    browser.ask(
        "[...document.querySelectorAll('#experiment .main button')].find((of) => of.textContent === 'log y').click()",
    );
    browser.wait_for(&format!("{}.getOption().yAxis[0].type === 'log'", chart(place)));

    let height =
        browser.ask("document.querySelector('#experiment .main .canvas').clientHeight").as_f64().unwrap();
    browser.click_at(left + 16.0, top + height - 10.0);
    browser.wait_for(&format!("{}.getOption().legend[0].selected.accuracy === false", chart(place)));

    browser.ask(
        "[...document.querySelectorAll('#experiment .main button')].find((of) => of.textContent === 'Save').click()",
    );
    browser.ask("new Promise((tell) => requestAnimationFrame(() => requestAnimationFrame(tell)))");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_timeline_is_zoomed_and_a_bar_leads_to_its_logs() {
    let sandbox = Sandbox::new();
    let res = federation(&sandbox);
    let mut browser = Browser::start();
    // As the group's page links to it.
    let linked = sandbox.read("res/reports/train-2.html");
    assert!(linked.contains("report.html#timeline?group=train-2"), "{linked}");
    browser.open(&res.join("report.html"), "#timeline?group=train-2", WIDE);
    let place = "#timeline .drawing";
    let (left, top) = drawn(&mut browser, place);
    browser.wait_for(&format!("{}.getOption().dataZoom[0].start > 5", chart(place)));

    let data = chart_data(&sandbox.read("res/report.html"));
    let timeline = &data["timeline"];
    let number = |value: &Value| value.as_f64().unwrap();
    let (band, attempts) = (&timeline["bands"][1], &timeline["attempts"]);
    // The first attempt of the group, and the middle of its training.
    let (mut at, mut middle) = (0.0, None);
    for (attempt, begin) in attempts["begin"].as_array().unwrap().iter().enumerate() {
        at += number(begin);
        let length = |phase: usize| number(&attempts["phases"][phase][attempt]);
        let seconds = (at + length(0) + length(1) + length(2) + length(3) / 2.0) / number(&timeline["ticks"]);
        if attempts["row"][attempt] == 0 && (number(&band[0])..number(&band[1])).contains(&seconds) {
            middle = Some(seconds);
        }
    }
    let middle = middle.expect("one of the group's tasks trained on the first device");
    let at = format!("{}.convertToPixel({{ gridIndex: 0 }}, [{middle}, 10])", chart(place));
    let (x, y) = point(&browser.ask(&at));
    browser.point_at(left + x, top + y);
    browser.wait_for(&format!("{}.includes('train-2 / client-')", shown(place)));
    browser.click_at(left + x, top + y);
    browser.wait_for("!document.querySelector('#timeline .details').hidden");
    let links =
        browser.ask("[...document.querySelectorAll('#timeline .details a')].map((link) => link.href)");
    let log = links[0].as_str().unwrap().strip_prefix("file://").unwrap().to_owned();
    assert!(log.contains("/train-2/client-") && Path::new(&log).is_file(), "{log}");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A sweep over two parameters with three seeds, of which one task fails.
fn sweep(sandbox: &Sandbox) -> PathBuf {
    sandbox.write(
        "flow.toml",
        "name = \"sweep\"\n[[groups]]\nname = \"fit\"\n[[groups.tasks]]\n\
         matrix = { lr = [0.01, 0.1], mu = [0, 1], seed = [1, 2, 3] }\nid = \"{{ lr }}-{{ mu }}-{{ seed }}\"\n\
         command = [\"sh\", \"-c\", \"test $1$2$3 != 0.113 && printf '{\\\"accuracy\\\": 0.%s%s, \\\"loss\\\": %s}' $2 $3 $1 > $FEDFLOW_RESULT\", \"t\", \"{{ lr }}\", \"{{ mu }}\", \"{{ seed }}\"]\n",
    );
    assert_eq!(sandbox.fedflow("run flow.toml --devices cpu:4").code, 1);
    sandbox.path().join("res/report.html")
}

#[test]
fn a_sweep_is_read_by_its_parameters_and_the_choice_stays_in_the_address() {
    let sandbox = Sandbox::new();
    let page = sweep(&sandbox);
    let data = chart_data(&sandbox.read("res/report.html"));
    let experiment = &data["experiment"];
    let names: Vec<_> = experiment["params"].as_array().unwrap().iter().map(|of| &of["name"]).collect();
    assert_eq!(names, ["lr", "mu", "seed"]);

    let mut browser = Browser::start();
    for window in [WIDE, Window { width: 400, dark: true }] {
        browser.open(&page, "", window);
        for place in ["#experiment .main", "#experiment .pairs", "#experiment .further"] {
            drawn(&mut browser, place);
        }
        // The three seeds of a point are one row, the best first; its deviation is that of 0.11, 0.12 and 0.13.
        let row = browser.ask("[...document.querySelectorAll('#experiment tbody tr')].map((row) => [...row.cells].map((of) => of.textContent).join(' '))");
        assert_eq!(row[0], "0.01 1 0.120 ± 0.010 0.01 3 0", "{row}");
        assert_eq!(row[1], "0.1 1 0.1150 ± 0.0071 0.1 2 1", "{row}");
        assert_eq!(row.as_array().unwrap().len(), 4);
    }

    browser.open(&page, "", WIDE);
    let place = "#experiment .main";
    let title = format!("document.querySelector('{place} figcaption').textContent");
    browser.wait_for(&format!("{title} === 'accuracy by lr'"));
    let choose = |label: &str, value: &str| {
        format!(
            "(() => {{ const of = [...document.querySelectorAll('#experiment .controls label')]\
             .find((label) => label.textContent.startsWith('{label}')).querySelector('select'); \
             of.value = '{value}'; of.dispatchEvent(new Event('change')); }})()"
        )
    };
    browser.ask(&choose("Metric", "loss"));
    browser.ask(&choose("Axis", "mu"));
    browser.ask(&choose("Colour", "lr"));
    browser.wait_for(&format!("{title} === 'loss by mu'"));
    let kept = browser.ask("location.hash");
    assert_eq!(kept, "#experiment?tasks=fit&metric=loss&x=mu&colour=lr");

    // Another reader of the address sees the same.
    browser.open(&page, kept.as_str().unwrap(), WIDE);
    browser.wait_for(&format!("{title} === 'loss by mu'"));
    let (left, top) = drawn(&mut browser, place);
    let (x, y) =
        point(&browser.ask(&format!("{}.convertToPixel({{ seriesIndex: 0 }}, [1, 0.01])", chart(place))));
    browser.point_at(left + x, top + y);
    browser.wait_for(&format!("{}.includes('mu 1\\nlr 0.01: 0.01')", shown(place)));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A timeline of many tasks one after the other on four cards, in groups of 500; a task takes a second.
fn many(tasks: u32) -> Value {
    let columns = |of: &dyn Fn(u32) -> u32| (0..tasks).map(|task| of(task).into()).collect::<Vec<Value>>();
    let row = |card: u32| json!({ "label": format!("cuda:{card}"), "note": "idle 0 %", "device": true, "lines": 1 });
    json!({
        "results": [], "items": [],
        "timeline": {
            "seconds": tasks / 4, "ticks": 10_000, "rows": (0..4).map(row).collect::<Vec<_>>(),
            "groups": (0..tasks.div_ceil(500)).map(|group| format!("train-{group}")).collect::<Vec<_>>(),
            "bands": (0..tasks.div_ceil(500)).map(|group| [group * 125, group * 125 + 125]).collect::<Vec<_>>(),
            "tasks": {
                "group": columns(&|task| task / 500),
                "id": (0..tasks).map(|task| format!("client-{task}")).collect::<Vec<_>>(),
                "elsewhere": [],
            },
            "attempts": {
                "task": columns(&|task| task), "row": columns(&|task| task % 4), "line": columns(&|_| 0),
                "begin": columns(&|task| if task > 0 && task % 4 == 0 { 10_000 } else { 0 }),
                "phases": [columns(&|_| 0), columns(&|_| 2_000), columns(&|_| 0), columns(&|_| 8_000)],
                "failed": [7], "reused": [], "again": [], "also": [],
            },
            "starved": [], "resumes": [], "cards": [],
        },
    })
}

#[test]
fn one_task_among_a_hundred_thousand_is_found() {
    let sandbox = Sandbox::new();
    federation(&sandbox);
    let page = with_data(&sandbox.read("res/report.html"), &many(100_000));
    assert!(page.len() < 15_000_000, "{} bytes", page.len());
    let page = sandbox.write("res/many.html", &page);
    let mut browser = Browser::start();
    browser.open(&page, "", WIDE);
    let place = "#timeline .drawing";
    let (left, top) = drawn(&mut browser, place);
    let bars = format!("{}.getOption().series.find((of) => of.name === 'bars').data", chart(place));
    assert!(browser.ask(&format!("{bars}.length")).as_u64().unwrap() <= 5_000);
    browser.ask(&format!(
        "{}.dispatchAction({{ type: 'dataZoom', dataZoomIndex: 0, startValue: 19444, endValue: 19445 }})",
        chart(place)
    ));
    browser.wait_for(&format!("{bars}.length < 30"));
    let at = format!("{}.convertToPixel({{ gridIndex: 0 }}, [19444.6, 10])", chart(place));
    let (x, y) = point(&browser.ask(&at));
    browser.point_at(left + x, top + y);
    browser.wait_for(&format!("{}.includes('train-155 / client-77776\\ntrain 800 ms')", shown(place)));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The first page that a new user sees.
#[test]
fn the_demo_opens_with_its_accuracy_over_the_rounds() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.fedflow("demo --workdir res --devices cpu:2 --progress none").code, 0);
    let mut browser = Browser::start();
    browser.open(&sandbox.path().join("res/report.html"), "", WIDE);
    drawn(&mut browser, "#experiment .main");
    let chosen = browser
        .ask("[...document.querySelectorAll('#experiment .controls select')].map((select) => select.value)");
    assert_eq!(chosen, json!(["aggregate", "accuracy", "round", ""]));
    browser.ask(
        "(() => { const of = document.querySelector('#experiment .controls select'); \
         of.value = 'train'; of.dispatchEvent(new Event('change')); })()",
    );
    browser.wait_for("document.querySelector('#experiment .controls select').value === 'train'");
    let axes = browser.ask(
        "[...document.querySelectorAll('#experiment .controls select')[2].options].map((of) => of.value)",
    );
    assert_eq!(axes, json!(["seed", "round", "client"]));
    assert_eq!(browser.complaints(), [""; 0]);
}
