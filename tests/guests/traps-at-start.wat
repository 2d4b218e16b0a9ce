;; A component that fails before any function of it runs.
(component
  (core module $m
    (func $start unreachable)
    (start $start)
    (func (export "nothing")))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing"))))
