//! The service's part of the OpenAPI document names every route of the contract.
#![allow(clippy::unwrap_used, missing_docs)]

#[test]
fn every_route_is_described() {
    let document = serde_json::to_value(palettes::openapi()).unwrap();
    for (path, methods) in [
        ("/palettes", &["get", "post"][..]),
        ("/palettes/{id}", &["get", "put", "delete"]),
        ("/palettes/{id}/export/{format}", &["get"]),
        ("/palettes/extract", &["post"]),
    ] {
        let described = document["paths"][path].as_object().unwrap();
        assert_eq!(described.len(), methods.len(), "{path}");
        for method in methods {
            let operation = &described[*method];
            assert_eq!(operation["tags"][0], "palettes", "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    let palette = &document["components"]["schemas"]["Palette"]["properties"];
    assert_eq!(palette.as_object().unwrap().len(), 9);
    // Every schema that is referred to is there.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}
