;; Exports an interface whose one function writes so many bytes to the log of its call, as one message.
(component
  (import "wasi:logging/logging@0.1.0-draft" (instance $logging
    (type $levels (enum "trace" "debug" "info" "warn" "error" "critical"))
    (export "level" (type $level (eq $levels)))
    (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
  (core module $memory
    (memory (export "memory") 16)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (core func $log (canon lower (func $logging "log") (memory $bytes)))
  (core module $writes
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "host" "memory" (memory 16))
    (func (export "write") (param i32)
      (memory.fill (i32.const 0) (i32.const 120) (local.get 0))
      (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (local.get 0))))
  (core instance $host (export "log" (func $log)) (export "memory" (memory $bytes)))
  (core instance $i (instantiate $writes (with "host" (instance $host))))
  (func $write (param "bytes" u32) (canon lift (core func $i "write")))
  (instance $writer (export "write" (func $write)))
  (export "test:writes/writer@1.0.0" (instance $writer)))
