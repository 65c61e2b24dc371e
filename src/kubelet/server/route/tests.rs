use super::*;

#[test]
fn every_row_is_found_by_its_own_path() {
    for route in ROUTES {
        let method = route.methods.first().unwrap_or(&Method::GET);
        let path = route.pattern.replace(['{', '}'], "");
        let Lookup::Found(found) = find(method, &path) else {
            panic!("{path} is not found")
        };
        assert_eq!(found.route.pattern, route.pattern);
        assert_eq!(need(method, &path).subresources, route.resources, "{path}");
    }
}
