;; A component whose start function never ends.
(component
  (core module $m
    (func $start (loop $again (br $again)))
    (start $start)
    (func (export "nothing")))
  (core instance $i (instantiate $m))
  (func (export "nothing") (canon lift (core func $i "nothing"))))
