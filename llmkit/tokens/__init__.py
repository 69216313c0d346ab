"""Token figures. Exact counting has not landed; `estimate` says how figures are estimated until then."""
