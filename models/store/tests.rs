use super::*;

#[test]
fn versions_are_compared_as_numbers() {
    let version = |text| Version::parse(text).unwrap();
    assert!(version("0.10") > version("0.9.9") && version("1") > version("0.99.99") && version("1") == version("1.0.0"));
    for text in ["", "a", "1.", "1.2.3.4", "-1", "1,2", "4294967296"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
    assert_eq!(version("0.2").to_string(), "0.2.0");
}

#[test]
fn a_link_is_switched_whole_and_what_no_link_names_goes() {
    let folder = std::env::temp_dir().join(format!("sotto-store-{}", std::process::id()));
    let store = Store::new(&folder);
    for digest in ["aa", "bb", "cc"] {
        fs::create_dir_all(folder.join(BY_DIGEST).join(digest)).unwrap();
    }
    assert!(store.packs("en").is_empty() && store.names().is_empty());
    let target = |digest: &str| Path::new(BY_DIGEST).join(digest);
    store.point(&store.previous("en"), &target("aa")).unwrap();
    store.point(&store.link("en"), &target("bb")).unwrap();
    store.forget_unused();
    assert!(!folder.join(BY_DIGEST).join("cc").exists());
    assert_eq!((store.names(), store.packs("en").len()), (vec!["en".to_owned()], 2));
    assert_eq!(store.roll_back("en", false).unwrap(), Some(folder.join(target("aa"))));
    assert!(!folder.join(BY_DIGEST).join("bb").exists());
    assert!(matches!(store.roll_back("en", false), Err(StoreError::NoPredecessor)), "there was one alone");
    assert_eq!(store.roll_back("en", true).unwrap(), None, "the packaged one is in use again");
    assert!(store.packs("en").is_empty());
    for name in ["", "..", "a/b", "A", "en.previous"] {
        assert!(matches!(store.roll_back(name, true), Err(StoreError::NoPredecessor)), "{name}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
