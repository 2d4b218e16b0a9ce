;; Exports an interface with types of another one, as `use` in WIT has it: that one is imported for its types alone.
(component
  (import "test:rates/types@1.0.0" (instance $types
    (type $r (record (field "cents" u32)))
    (export "rate" (type (eq $r)))))
  (alias export $types "rate" (type $rate))
  (core module $m
    (func (export "double") (param $cents i32) (result i32) (i32.mul (local.get $cents) (i32.const 2))))
  (core instance $i (instantiate $m))
  (func $f (param "rate" $rate) (result u32) (canon lift (core func $i "double")))
  (component $exports
    (type $record (record (field "cents" u32)))
    (import "import-type-rate" (type $imported (eq $record)))
    (import "import-func-double" (func $double (param "rate" $imported) (result u32)))
    (export $exported "rate" (type $imported))
    (export "double" (func $double) (func (param "rate" $exported) (result u32))))
  (instance $rates (instantiate $exports
    (with "import-type-rate" (type $rate))
    (with "import-func-double" (func $f))))
  (export "test:rates/rates@1.0.0" (instance $rates)))
