//! What guests may import, as they see it.

use crate::fixture::{Fixture, call, guest, text_guest, wasi_guest};
use wares_engine::LoadError;
use wasmtime::component::Val;

#[tokio::test]
async fn every_0_2_version_of_wasi_is_given() {
    let fixture = Fixture::new();
    for version in ["0.2.0", "0.2.3", "0.2.6", "0.2.12"] {
        let wasm = text_guest("wasi", "VERSION", version);
        fixture.engine.check_imports(fixture.describe(&wasm).await.as_ref()).unwrap();
        let wasi = fixture.load(wasm).await;
        let report = call("print").of(&wasi).await;
        assert_eq!((report.result, report.logs.text.as_str()), (Ok(None), "a line that is written\n"), "{version}");
    }
}

#[tokio::test]
async fn logs_keep_the_order_and_the_limit() {
    let fixture = Fixture::new();
    let wasi = fixture.load(wasi_guest()).await;
    let said = call("say").of(&wasi).await;
    assert_eq!(said.logs.text, "[warn a context] a line that is written\n");

    let flood = call("flood").with(Val::U32(100)).within(|limits| limits.log_bytes_max = 5_000).of(&wasi).await;
    assert_eq!(flood.result, Ok(None));
    let (kept, note) = flood.logs.text.split_at(5_000);
    assert!(kept.starts_with('\0') && note.contains(&format!("{} more bytes", 100 * 4096 - 5_000)), "{note}");
}

#[tokio::test]
async fn config_is_of_the_version() {
    let fixture = Fixture::new();
    let greeting = async |config: &[(&str, &str)]| {
        let component = fixture.load_with(guest("config"), config).await.unwrap();
        call("greeting").of(&component).await.result.unwrap().unwrap()
    };
    let some = |text: &str| Val::Option(Some(Box::new(Val::String(text.to_owned()))));
    assert_eq!(greeting(&[("greeting", "你好")]).await, some("你好"));
    assert_eq!(greeting(&[("greeting", "hello"), ("other", "thing")]).await, some("hello"));
    assert_eq!(greeting(&[]).await, Val::Option(None));
    let huge = "x".repeat(70_000);
    let refused = fixture.load_with(guest("config"), &[("greeting", &huge)]).await.err().unwrap();
    assert!(matches!(refused, LoadError::Configure(_)), "{refused}");
}

#[tokio::test]
async fn what_is_not_given_is_refused_by_name() {
    let fixture = Fixture::new();
    let component = |imports: &str| wat::parse_str(format!("(component {imports})")).unwrap();
    let wasm = component(r#"(import "wasi:nn/tensor@0.2.0" (instance)) (import "wares:other/thing@1.0.0" (instance))"#);
    let error = fixture.engine.check_imports(fixture.describe(&wasm).await.as_ref()).unwrap_err();
    let names: Vec<_> = error.refused.iter().map(|refused| refused.import.as_str()).collect();
    assert_eq!(names, ["wasi:nn/tensor@0.2.0", "wares:other/thing@1.0.0"]);
    assert!(matches!(fixture.load_with(wasm, &[]).await, Err(LoadError::Import(_))));

    // Known by name, but not with this function.
    let wasm = component(r#"(import "wasi:cli/stdout@0.2.6" (instance (export "no-such-function" (func))))"#);
    let error = fixture.compile(wasm).await.unwrap_err().to_string();
    assert!(error.contains("wasi:cli/stdout@0.2.6") && error.contains("no-such-function"), "{error}");
    assert!(error.contains("imports what this host gives in another form") && !error.contains("compiled"), "{error}");
}
