//! Any links, any names.

use super::*;

/// Where an open file is, by the kernel's word.
fn place_of(part: &Part) -> PathBuf {
    let fd = std::os::fd::AsRawFd::as_raw_fd(part.file());
    fs::read_link(format!("/proc/self/fd/{fd}")).unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_links_there_are_a_name_says_where_it_is(
        links in proptest::collection::vec(("[abc](/[abc]){0,2}", "(\\.\\./){0,3}([abc.]|outside)(/[abc]){0,2}"), 0..8),
        names in proptest::collection::vec("[abc](/[abc]){0,3}", 1..8),
    ) {
        let place = TestRoot::new();
        for (link, target) in &links {
            // Not through a link that is there already.
            if wire(link).parent().is_none_or(|parent| place.root.make_dir(&parent).is_ok()) {
                let _ = symlink(target, place.path(link));
            }
        }
        let top = place.path("").canonicalize().unwrap();
        for here in place.destinations() {
            let keeping = here.keeping_dirlinks(std::time::SystemTime::now());
            for name in &names {
                if let Ok(part) = Part::open(&here, &wire(name), Owner::Anyone, Fresh::No) {
                    let parent = top.join(name).parent().unwrap().to_owned();
                    proptest::prop_assert_eq!(place_of(&part).parent().unwrap().to_owned(), parent);
                }
                if let Ok(part) = Part::open(&keeping, &wire(name), Owner::Anyone, Fresh::No) {
                    proptest::prop_assert!(place_of(&part).starts_with(&top), "{:?}", place_of(&part));
                }
            }
        }
        place.assert_outside_untouched();
    }
}
