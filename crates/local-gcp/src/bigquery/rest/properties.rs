//! The free part of dataset and table resources: what clients say of them and get back as they said it.

use serde_json::{Map, Value as Json};

/// Fields that the server makes, or that have a place of their own in the state.
const MANAGED: &[&str] = &[
    "kind",
    "etag",
    "id",
    "selfLink",
    "datasetReference",
    "tableReference",
    "location",
    "schema",
    "creationTime",
    "lastModifiedTime",
    "numRows",
    "numBytes",
    "numLongTermBytes",
    "type",
];

/// The free fields of a resource; those set to null are left out.
pub(super) fn of_resource(resource: Map<String, Json>) -> Map<String, Json> {
    let free =
        |(name, value): &(String, Json)| !MANAGED.contains(&name.as_str()) && !value.is_null();
    let mut fields: Map<String, Json> = resource.into_iter().filter(free).collect();
    if let Some(Json::Object(labels)) = fields.get_mut("labels") {
        labels.retain(|_, value| !value.is_null());
    }
    fields
}

/// The free fields after a PATCH: given ones replace old ones, nulls remove them, labels are merged one by one.
pub(super) fn patched(mut old: Map<String, Json>, patch: Map<String, Json>) -> Map<String, Json> {
    for (name, value) in patch {
        if MANAGED.contains(&name.as_str()) {
            continue;
        }
        match (value, old.get_mut(&name)) {
            (Json::Null, _) => drop(old.remove(&name)),
            (Json::Object(labels), Some(Json::Object(kept))) if name == "labels" => {
                for (label, value) in labels {
                    match value {
                        Json::Null => drop(kept.remove(&label)),
                        value => drop(kept.insert(label, value)),
                    }
                }
            }
            (value, _) => drop(old.insert(name, value)),
        }
    }
    of_resource(old)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_merge_labels_and_drop_nulls() {
        let object = |value: Json| value.as_object().cloned().unwrap();
        let old = object(json!({"description": "old", "labels": {"a": "1", "b": "2"}, "x": 1}));
        let patch = object(json!({
            "id": "ignored",
            "description": null,
            "friendlyName": "new",
            "labels": {"a": null, "c": "3"},
        }));
        let expected =
            object(json!({"friendlyName": "new", "labels": {"b": "2", "c": "3"}, "x": 1}));
        assert_eq!(patched(old, patch), expected);
    }
}
