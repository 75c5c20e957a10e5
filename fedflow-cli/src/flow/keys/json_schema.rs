//! The JSON Schema of a flow file, for editors, made of the keys as they are declared.

use serde_json::{Map, Value, json};

use super::super::values::Shape;
use super::{KEYS, KeyInfo, Place};

/// The JSON Schema of a flow file: what Taplo and other editors complete and check with. It has every key at every place
/// where it is declared, and refuses others.
#[must_use]
pub fn flow_schema() -> Value {
    let mut schema = table(Place::Flow);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
        schema.insert("title".into(), "A Fedflow flow file".into());
        schema.insert("required".into(), json!(["groups"]));
        let others = [Place::Worker, Place::Group, Place::Task, Place::Range];
        let definitions: Map<String, Value> =
            others.into_iter().map(|place| (definition(place).into(), table(place))).collect();
        schema.insert("definitions".into(), definitions.into());
    }
    schema
}

/// A table with the keys of its place.
fn table(place: Place) -> Value {
    let keys = KEYS.iter().filter(|key| key.places.contains(&place));
    let properties: Map<String, Value> = keys.map(|key| (key.name.into(), property(key))).collect();
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

fn property(key: &KeyInfo) -> Value {
    let mut schema = match key.name {
        "groups" => list_of(reference(Place::Group)),
        "tasks" => list_of(reference(Place::Task)),
        "workers" => json!({"type": "object", "additionalProperties": reference(Place::Worker)}),
        _ => shape(key.shape),
    };
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".into(), key.help.into());
    }
    schema
}

fn shape(shape: Shape) -> Value {
    let text = || json!({"type": "string"});
    let codes = json!({"type": "integer", "minimum": 1, "maximum": 255});
    match shape {
        Shape::Text => text(),
        Shape::TextOrInteger => json!({"type": ["string", "integer"]}),
        Shape::Boolean => or_template(json!({"type": "boolean"})),
        Shape::Integer(least) => or_template(json!({"type": "integer", "minimum": least})),
        Shape::Number => or_template(json!({"type": "number"})),
        Shape::Arguments => json!({"type": ["string", "number", "boolean", "array"]}),
        Shape::Table | Shape::Tables => json!({"type": "object"}),
        Shape::Variables => {
            let values = [json!({"type": "array", "minItems": 1}), template(), reference(Place::Range)];
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": values}})
        }
        Shape::List => or_template(json!({"type": "array", "minItems": 1})),
        Shape::TextList => list_of(text()),
        Shape::OneOrMoreTexts => json!({"anyOf": [text(), list_of(text())]}),
        Shape::OneOrMoreCodes => json!({"anyOf": [codes, list_of(codes.clone())]}),
        Shape::Protocol => json!({"enum": ["ipc", "json"]}),
    }
}

/// A value, or a template that gives it.
fn or_template(schema: Value) -> Value {
    json!({"anyOf": [schema, template()]})
}

fn template() -> Value {
    json!({"type": "string", "pattern": "\\{[{%]"})
}

fn list_of(items: Value) -> Value {
    json!({"type": "array", "items": items, "minItems": 1})
}

fn reference(place: Place) -> Value {
    json!({"$ref": format!("#/definitions/{}", definition(place))})
}

fn definition(place: Place) -> &'static str {
    match place {
        Place::Flow => "flow",
        Place::Group => "group",
        Place::Task => "task",
        Place::Worker => "worker",
        Place::Range => "range",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parser takes each key where it is declared and nowhere else, which is tested beside the keys: so the schema and the
    /// parser agree.
    #[test]
    fn the_schema_has_every_key_where_it_is_declared() {
        let schema = flow_schema();
        for place in Place::ALL {
            let table = match place {
                Place::Flow => &schema,
                place => &schema["definitions"][definition(place)],
            };
            let properties = table["properties"].as_object().unwrap();
            let declared: Vec<&KeyInfo> = KEYS.iter().filter(|key| key.places.contains(&place)).collect();
            assert_eq!(properties.len(), declared.len(), "{place:?}");
            for key in declared {
                assert_eq!(properties[key.name]["description"], key.help);
            }
            assert_eq!(table["additionalProperties"], false);
        }
    }

    #[test]
    fn a_value_that_is_no_text_may_come_from_a_template() {
        let schema = flow_schema();
        let repeat = &schema["definitions"]["group"]["properties"]["repeat"]["anyOf"];
        assert_eq!(repeat[0], json!({"type": "integer", "minimum": 1}));
        assert_eq!(repeat[1], template());
        assert_eq!(schema["properties"]["groups"]["items"]["$ref"], "#/definitions/group");
        assert_eq!(schema["definitions"]["task"]["properties"]["oom-exit-code"]["anyOf"][0]["maximum"], 255);
    }
}
